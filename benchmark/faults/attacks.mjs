/** What the attackers do. Each function runs until its attack is over. */
import { performance } from 'node:perf_hooks'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { WebSocket } from '../system/ws.mjs'
import { load } from './dist.mjs'
import { UPGRADE, cancel, close, frames, open, payload, webSocketFrame } from './raw-peer.mjs'

const { connect } = await load('client/index.js')
const { Compression, MsgType, Ping, RpcType } = await load('wire/message.js')

const KIB = 1024
const MIB = 1024 * KIB
const HUGE_WINDOW = 0x7fffffff
const noop = () => {}
const many = (count, make) => Array.from({ length: count }, (_, i) => make(i))

// --- peers that are slow, greedy, gone

/** Half of them never read what they asked for, half a little now and then. */
async function slowReaders (attack) {
  const readers = await Promise.all(many(10 * attack.width, async () => {
    const peer = attack.peer()
    await peer.opened()
    peer.write(frames(open('Flood', RpcType.Recv, { window: HUGE_WINDOW })))
    peer.socket.pause()
    return peer
  }))
  while (!attack.isOver) {
    for (const peer of readers.slice(readers.length / 2)) {
      peer.socket.resume()
      peer.socket.once('data', ({ length }) => {
        attack.done += length / MIB
        peer.socket.pause()
      })
    }
    await sleep(Math.min(50, attack.remainingMs))
  }
}

/** The opposite: they grant all the credit there can be and read as fast as they can. */
async function downloads (attack) {
  await Promise.all(many(attack.width, async () => {
    const peer = attack.peer()
    await peer.opened()
    peer.write(frames(open('Flood', RpcType.Recv, { window: HUGE_WINDOW })))
    peer.socket.on('data', ({ length }) => { attack.done += length / MIB })
    await attack.over
  }))
}

/** Callers who keep to the rules and upload without end, to a handler that takes all of it. */
async function uploads (attack) {
  await Promise.all(many(attack.width, async () => {
    const client = await connect(`ws://127.0.0.1:${attack.port}/rpc`, { WebSocket, webSocketOptions: { perMessageDeflate: false } })
    attack.connections++
    const upload = client.send('fault', 'S', 'Sink')
    const message = new Uint8Array(32 * KIB)
    while (!attack.isOver) {
      await upload.send(message)
      attack.done += message.length / MIB
    }
    client.destroy()
  }))
}

/** Sends beyond its credit and does not stop when its session is closed for that. */
function endlessSenders (attack) {
  return attack.withPeers(async (peer) => {
    const session = await peer.open('NeverReads', RpcType.Send)
    await attack.pour(peer, frames(payload(session, new Uint8Array(32 * KIB))), 32 * KIB / MIB)
  })
}

const states = [
  async () => {},
  (peer) => peer.write(UPGRADE.slice(0, 60)),
  async (peer) => { await upgraded(peer) },
  async (peer) => { await upgraded(peer) && peer.write(Buffer.of(0x82, 0xfe, 0x10)) },
  async (peer) => { await upgraded(peer) && peer.write(webSocketFrame(Buffer.of(0, 0, 0x0e, 0x80))) },
  async (peer) => { await upgraded(peer) && await peer.open('Chat', RpcType.BiDirectional) },
  async (peer) => { await upgraded(peer) && peer.write(frames(payload(await peer.open('Chat', RpcType.BiDirectional), new Uint8Array(8 * KIB), { more: true }))) },
  async (peer) => { await upgraded(peer) && peer.write(frames(payload(await peer.open('Never', RpcType.Synchronous), new Uint8Array(1), { reqID: 1 }))) },
  async (peer) => { await upgraded(peer) && await peer.open('Flood', RpcType.Recv, { window: MIB }) }
]

function upgraded (peer) {
  peer.write(UPGRADE)
  return peer.opened()
}

/** Sockets that come to some state and then say nothing more, most without having closed anything. */
async function halfOpen (attack) {
  const step = async (n) => {
    const peer = attack.peer(false)
    attack.done++
    await states[n % states.length](peer)
    if (n % 4 === 3) peer.leave('end')
  }
  for (let n = 0; !attack.isOver; n++) {
    step(n)
    await sleep(2)
  }
}

/** Connections that are reset, ended or dropped in every state, one after the other. */
async function resets (attack) {
  const leaves = ['resetAndDestroy', 'end', 'destroy']
  let n = 0
  await Promise.all(many(attack.width, async () => {
    while (!attack.isOver) {
      const peer = attack.peer(false)
      attack.done++
      const state = states[n % states.length]
      const leave = leaves[n++ % leaves.length]
      await state(peer)
      peer.leave(leave)
      await Promise.race([peer.until(() => false), sleep(100)])
      peer.leave('destroy')
    }
  }))
}

// --- content that explodes

/** In turn one beyond the limit of 4 MiB and one that just fits; to a handler that answers nothing. */
async function bombs (attack, compression, contents) {
  await attack.withPeers(async (peer) => {
    const session = await peer.open('Swallow', RpcType.Synchronous)
    await attack.ask(peer, (reqID) => chunks(session, reqID, compression, contents[reqID % contents.length]), { inFlight: 4 })
  })
}

function chunks (session, reqID, compression, content) {
  const size = 32 * KIB
  return frames(...many(Math.ceil(content.length / size), (i) => payload(session, content.subarray(i * size, (i + 1) * size),
    { reqID, more: (i + 1) * size < content.length, ...(i === 0 && { compression }) })))
}

const gzipBombs = () => [gzipSync(new Uint8Array(50 * MIB)), gzipSync(new Uint8Array(4 * MIB))]

/** The length, one zero, and as many copies of 64 bytes as make it up. */
function snappyBomb (bytes) {
  const length = []
  let rest = bytes
  for (; rest >= 0x80; rest >>>= 7) length.push(rest & 0x7f | 0x80)
  length.push(rest)
  const copies = Buffer.alloc(3 * ((bytes - 1) / 64), Buffer.of(0xfe, 0x01, 0x00))
  return Buffer.concat([Buffer.of(...length, 0x00, 0x61), copies])
}

const snappyBombs = () => [snappyBomb(60 * 64 * KIB * 2 + 1), snappyBomb(4 * MIB - 63)]

/** A frame that does not say its size, made of blocks of one byte repeated. */
function zstdBomb (blocks) {
  return Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50), Buffer.alloc(4 * blocks, Buffer.of(0x02, 0x00, 0x10, 0x00)), Buffer.of(0x01, 0x00, 0x00)])
}

const zstdBombs = () => [zstdBomb(400), zstdBomb(32)]

// --- floods of small things

/** A hundred thousand and more, as fast as they are taken; a connection that is ended for it comes again. */
function missingOpens (attack) {
  const opens = frames(...many(1000, () => open('Missing', RpcType.Synchronous)))
  return attack.withPeers((peer) => attack.pour(peer, opens, 1000))
}

/** Opens with metadata beyond the limit by size or by number, and with just as much as is allowed. */
function metadataFloods (attack) {
  const entries = (count, bytes) => many(count, (i) => ({ key: bytes === 0 ? '' : `k${i}`, value: new Uint8Array(bytes) }))
  const opens = frames(...[entries(70, 1000), entries(4000, 0), entries(60, 1000)].map((metadata) => open('Chat', RpcType.BiDirectional, { metadata })))
  return attack.withPeers((peer) => attack.pour(peer, opens, 3))
}

/** Each request is canceled in the same breath. */
function cancelStorm (attack) {
  return attack.withPeers(async (peer) => {
    const session = await peer.open('Never', RpcType.Synchronous)
    let reqID = 0
    await attack.ask(peer, () => {
      const first = reqID + 1
      reqID += 100
      attack.done += 99
      return frames(...many(100, (i) => [payload(session, new Uint8Array(1), { reqID: first + i }), cancel(session, first + i)]).flat())
    }, { inFlight: 10, isAnswer: (message) => message.reqID > 0 && message.reqID % 100 === 0 })
  })
}

/** Streams opened and closed in the same breath: work for a handler each time, and no frame that counts as a flood. */
function openAndClose (attack) {
  return attack.withPeers(async (peer) => {
    let session = 0
    await attack.ask(peer, () => {
      attack.done += 99
      return frames(...many(100, (i) => [open('Chat', RpcType.BiDirectional, { openID: i + 1 }), close(++session)]).flat())
    }, { inFlight: 10, isAnswer: ({ type, openID }) => type === MsgType.OpenAck && openID === 100 })
  })
}

/** Frames that cost the sender nothing and are counted nowhere: for a session that is over. */
function lateFrames (attack) {
  return attack.withPeers(async (peer) => {
    const session = await peer.open('Chat', RpcType.BiDirectional)
    peer.write(frames(close(session)))
    await attack.pour(peer, frames(...many(1000, () => payload(session, new Uint8Array(1)))), 1000)
  })
}

function pings (attack) {
  const bytes = frames(...many(1000, (i) => Object.assign(new Ping(), { id: i })))
  return attack.withPeers((peer) => attack.pour(peer, bytes, 1000))
}

function garbage (attack) {
  const bytes = webSocketFrame(Uint8Array.from({ length: 64 }, (_, i) => i * 37 + 11))
  return attack.withPeers(async (peer) => {
    peer.write(bytes)
    attack.done++
    await Promise.race([peer.until(() => false), attack.over])
  })
}

// --- handlers

/** Calls whose handlers throw: synchronous ones an error, streams undefined. */
function throws (attack) {
  return attack.withPeers(async (peer) => {
    const session = await peer.open('Throw', RpcType.Synchronous)
    const stream = open('ThrowNothing', RpcType.BiDirectional)
    await attack.ask(peer, (reqID) => reqID % 8 === 0 ? frames(stream) : frames(payload(session, new Uint8Array(1), { reqID })),
      { inFlight: 64, perTurn: 16, isAnswer: ({ type, reqID }) => type === MsgType.Close || reqID > 0 })
  })
}

/** As many calls as one connection may have, of handlers that never return; then the connection is cut and comes again. */
function neverEnding (attack) {
  const calls = 2000
  return attack.withPeers(async (peer) => {
    const session = await peer.open('Never', RpcType.Synchronous)
    peer.write(frames(...many(calls, (i) => payload(session, new Uint8Array(1), { reqID: i + 1 }))))
    attack.done += calls
    await sleep(Math.min(200, attack.remainingMs))
  })
}

/** A control: no connection at all, but as busy as an attacker. What it costs the healthy is the machine's doing. */
async function neighbour (attack) {
  while (!attack.isOver) {
    const until = performance.now() + 5
    while (performance.now() < until) attack.done++
    await turn()
  }
}

async function allAtOnce (attack) {
  await Promise.all([slowReaders(attack), cancelStorm(attack), neverEnding(attack), throws(attack), missingOpens(attack)].map((running) => running.catch(noop)))
}

/** By the names of list.mjs. */
export const RUNS = {
  neighbour,
  slow: slowReaders,
  downloads,
  uploads,
  senders: endlessSenders,
  'half-open': halfOpen,
  resets,
  gzip: (attack) => bombs(attack, Compression.Gzip, gzipBombs()),
  snappy: (attack) => bombs(attack, Compression.Snappy, snappyBombs()),
  zstd: (attack) => bombs(attack, Compression.Zstd, zstdBombs()),
  opens: missingOpens,
  metadata: metadataFloods,
  cancels: cancelStorm,
  throws,
  never: neverEnding,
  'open-close': openAndClose,
  late: lateFrames,
  pings,
  garbage,
  drain: allAtOnce
}
