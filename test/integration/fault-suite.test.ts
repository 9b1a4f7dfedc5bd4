// One server with 200 healthy streams, and everything that real networks and bad peers do to it at the same
// time. The healthy streams lose nothing, every refused thing gets its code, and memory returns.
import { once } from 'node:events'
import { createServer, connect as connectSocket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { deflateRawSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { Client } from '../../lib/client/client.js'
import { nodeCompressors } from '../../lib/compression/node.js'
import { Category, RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { duplexTransport } from '../../lib/transport/duplex.js'
import { Compression, MsgType, RpcType } from '../../lib/wire/message.js'
import type { Payload } from '../../lib/wire/message.js'
import { RawPeer, cancel, payload } from '../helpers/raw-peer.js'

const HEALTHY = 200
const encoder = new TextEncoder()
setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => { unhandled.push(reason) })

/** Gzip, snappy, and zstd where this machine has it. */
const compressors = await nodeCompressors()

/** What is held: the least of a few looks, because the memory of buffers is given back some turns after its collection. */
async function heldMemory (): Promise<number> {
  let least = Infinity
  for (let look = 0; look < 5; look++) {
    gc()
    await new Promise((resolve) => { setImmediate(resolve) })
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    least = Math.min(least, heapUsed + arrayBuffers)
  }
  return least
}

function makeServer (): Server {
  const server = new Server({ maxRecvMsgSize: 1 << 20, maxSessionsPerConnection: 300, windowBytes: 128 * 1024 }, { compressors })
  server.register('fault', 'S', 'Echo', new SyncHandler((_context, request) => request))
  server.register('fault', 'S', 'Throw', new SyncHandler(() => { throw new Error('a secret') }))
  server.register('fault', 'S', 'ThrowNothing', new BiDirHandler(async () => { throw undefined })) // eslint-disable-line no-throw-literal, @typescript-eslint/only-throw-error -- that is the fault
  server.register('fault', 'S', 'Never', new SyncHandler(async (context) => {
    await once(context.signal, 'abort')
    throw context.signal.reason
  }))
  server.register('fault', 'S', 'NeverReads', new SendHandler(async (context) => {
    await once(context.signal, 'abort')
  }))
  server.register('fault', 'S', 'Flood', new RecvHandler(async (context, stream) => { while (!context.signal.aborted) await stream.send(new Uint8Array(16 * 1024)) }))
  server.register('fault', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const bytes of stream.recv()) await stream.send(bytes) }))
  return server
}

/** Healthy callers: each sends, waits for its echo, and goes on until told to stop. */
class Healthy {
  rounds = 0
  wrong = 0
  latencies: number[] = []
  #isStopping = false
  readonly #running: Promise<unknown>

  constructor (clients: readonly Client[]) {
    this.#running = Promise.all(Array.from({ length: HEALTHY }, async (_, n) => { await this.#stream(clients[n % clients.length] as Client, n) }))
  }

  async #stream (client: Client, n: number): Promise<void> {
    const chat = client.biDir('fault', 'S', 'Chat')
    const echoes = chat.recv()
    for (let i = 0; !this.#isStopping; i++) {
      const sent = encoder.encode(`${n} ${i}`)
      const startedAt = performance.now()
      await chat.send(sent)
      const { value } = await echoes.next() as IteratorResult<Uint8Array, undefined>
      this.latencies.push(performance.now() - startedAt)
      if (value === undefined || Buffer.compare(value, sent) !== 0) this.wrong++
      this.rounds++
      // A turn of the event loop, so that 200 of them leave room for everybody else.
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    chat.closeSend()
    if (await chat.ended !== undefined) this.wrong++
  }

  /** The median since the last time it was asked for, milliseconds. */
  median (): number {
    const sorted = this.latencies.sort((a, b) => a - b)
    this.latencies = []
    return sorted[sorted.length >> 1] ?? 0
  }

  async waitRounds (count: number): Promise<void> {
    const until = this.rounds + count
    while (this.rounds < until) await new Promise((resolve) => { setImmediate(resolve) })
  }

  async stop (): Promise<void> {
    this.#isStopping = true
    await this.#running
  }
}

t.test('the fault suite', { timeout: 240_000 }, async (t) => {
  const server = makeServer()
  const listener = createServer((socket) => { server.connect(duplexTransport(socket)) })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const clients = Array.from({ length: 4 }, () => new Client(duplexTransport(connectSocket(port, '127.0.0.1'))))
  const peers: RawPeer[] = []
  const peer = (): RawPeer => {
    const made = new RawPeer(port)
    peers.push(made)
    return made
  }
  const healthy = new Healthy(clients)
  await healthy.waitRounds(HEALTHY * 20)
  healthy.median()
  await healthy.waitRounds(HEALTHY * 30)
  const calm = healthy.median()
  const isUndisturbed = async (t: { ok: (value: boolean, text: string) => void }): Promise<void> => {
    await healthy.waitRounds(HEALTHY * 2)
    t.ok(healthy.wrong === 0, 'the healthy streams go on')
  }

  const memory: number[] = []
  // Twice: what the first round leaves behind for good (compiled code, pools) is no leak, what the second adds is.
  for (const round of [1, 2]) {
    await t.test(`round ${round}`, async (t) => {
      await t.test('a peer that does not read is held up, and its server holds little', async (t) => {
        const slow = Array.from({ length: 20 }, () => peer())
        for (const one of slow) {
          one.socket.pause()
          const open = one.openMessage('Flood', RpcType.Recv)
          open.window = 0x7fffffff
          one.say(open)
        }
        await isUndisturbed(t)
        const unsent = [...server.connections].map(({ connection }) => connection.unsentBytes)
        t.ok(Math.max(...unsent) < 512 * 1024, `${Math.max(...unsent)} bytes unsent at the most`)
        for (const one of slow) one.destroy()
      })

      await t.test('a sender that never stops loses its session at the end of its credit', async (t) => {
        const greedy = peer()
        const ack = await greedy.open('NeverReads', RpcType.Send)
        for (let i = 0; i < 10; i++) greedy.say(payload(ack.sessionID, new Uint8Array(32 * 1024)))
        await greedy.until(() => greedy.closeOf(ack.sessionID) !== undefined)
        t.match(greedy.closeOf(ack.sessionID), { errCode: Category.ResourceExhausted, error: 'flow control window exceeded' })
        const again = await greedy.open('Chat', RpcType.BiDirectional)
        t.equal(again.errCode, 0, 'the connection lives on')
        await isUndisturbed(t)
      })

      await t.test('half-open sockets and resets in every state', async (t) => {
        const states: ((one: RawPeer) => Promise<void> | void)[] = [
          () => {},
          (one) => { one.bytes(Uint8Array.of(0, 0, 0x0e, 0x80)) },
          async (one) => { await one.open('Chat', RpcType.BiDirectional) },
          async (one) => { one.say(payload((await one.open('Chat', RpcType.BiDirectional)).sessionID, new Uint8Array(100))) },
          async (one) => { one.say(payload((await one.open('Never', RpcType.Synchronous)).sessionID, new Uint8Array(1), { reqID: 1 })) },
          async (one) => { one.say(payload((await one.open('Chat', RpcType.BiDirectional)).sessionID, new Uint8Array(8192), { more: true })) },
          async (one) => { await one.open('Flood', RpcType.Recv, (open) => { open.window = 1 << 20 }) }
        ]
        for (const reach of states) {
          for (const leave of [(one: RawPeer) => one.socket.resetAndDestroy(), (one: RawPeer) => one.socket.end()]) {
            const one = peer()
            await once(one.socket, 'connect')
            await reach(one)
            leave(one)
            await one.closed()
          }
        }
        await isUndisturbed(t)
      })

      await t.test('bombs are stopped at the limit', async (t) => {
        const bomber = peer()
        const ack = await bomber.open('Echo', RpcType.Synchronous)
        const gzip = gzipSync(new Uint8Array(50 << 20))
        // A snappy block that says 60 MiB, followed by copies.
        const snappy = Uint8Array.from([0x80, 0x80, 0x80, 0x1e, 0x00, 0x61, ...Array.from({ length: 3 * 10_000 }, (_, i) => [0xfe, 0x01, 0x00][i % 3] as number)])
        // A zstd frame that does not say its size: 400 blocks of one byte repeated 128 Ki times, and an empty last one.
        const zstd = Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50, ...Array.from({ length: 4 * 400 }, (_, i) => [0x02, 0x00, 0x10, 0x00][i % 4] as number), 0x01, 0x00, 0x00])
        const raw = deflateRawSync(new Uint8Array(100))
        const attempts: [string, Partial<Payload>, Uint8Array, number][] = [
          ['gzip', { compression: Compression.Gzip }, gzip, Category.ResourceExhausted],
          ['snappy', { compression: Compression.Snappy }, snappy, Category.ResourceExhausted],
          ['zstd', { compression: Compression.Zstd }, zstd, compressors.get(Compression.Zstd) === undefined ? Category.Unimplemented : Category.ResourceExhausted],
          ['corrupt gzip', { compression: Compression.Gzip }, raw, Category.InvalidArgument],
          ['unknown format', { compression: 99 }, raw, Category.Unimplemented]
        ]
        let reqID = 0
        for (const [name, fields, bytes, category] of attempts) {
          reqID++
          // In chunks where it is large, as an honest peer would.
          for (let at = 0; at < bytes.length || at === 0; at += 32 * 1024) {
            bomber.say(payload(ack.sessionID, bytes.subarray(at, at + 32 * 1024), { ...(at === 0 ? fields : {}), reqID, more: at + 32 * 1024 < bytes.length }))
          }
          const answer = (): Payload | undefined => bomber.heard.find((message): message is Payload => message.type === MsgType.Payload && message.reqID === reqID)
          await bomber.until(() => answer() !== undefined)
          t.equal(answer()?.errCode, category, name)
        }
        await isUndisturbed(t)
      })

      await t.test('a flood of Opens to missing methods ends its connection', async (t) => {
        const flooder = peer()
        for (let i = 0; i < 100; i++) flooder.say(...Array.from({ length: 1000 }, () => flooder.openMessage('Missing', RpcType.Synchronous)))
        await flooder.closed()
        t.match(flooder.goAway(), { errCode: Category.ResourceExhausted, debugData: 'too many control frames' })
        const refused = flooder.heard.filter((message) => message.type === MsgType.OpenAck)
        t.ok(refused.length > 0 && refused.every((message) => 'errCode' in message && message.errCode === Category.Unimplemented), `${refused.length} were refused one by one`)
        await isUndisturbed(t)
      })

      await t.test('metadata floods and long names are refused', async (t) => {
        const talker = peer()
        const large = await talker.open('Chat', RpcType.BiDirectional, (open) => { open.metadata = Array.from({ length: 70 }, (_, i) => ({ key: `k${i}`, value: new Uint8Array(1000) })) })
        t.equal(large.errCode, Category.ResourceExhausted)
        const many = await talker.open('Chat', RpcType.BiDirectional, (open) => { open.metadata = Array.from({ length: 4000 }, () => ({ key: '', value: new Uint8Array(0) })) })
        t.equal(many.errCode, Category.ResourceExhausted)
        const name = await talker.open('x'.repeat(1025), RpcType.BiDirectional)
        t.equal(name.errCode, Category.InvalidArgument)
        await isUndisturbed(t)
      })

      await t.test('a storm of cancels', async (t) => {
        const stormer = peer()
        const ack = await stormer.open('Never', RpcType.Synchronous)
        for (let reqID = 1; reqID <= 3000; reqID++) stormer.say(payload(ack.sessionID, new Uint8Array(1), { reqID }), cancel(ack.sessionID, reqID))
        const answers = (): (typeof stormer.heard) => stormer.heard.filter((message) => message.type === MsgType.Payload)
        await stormer.until(() => answers().length >= 3000)
        t.equal(answers().length, 3000, 'each has one answer')
        t.ok(answers().every((message) => 'errCode' in message && message.errCode === Category.Canceled))
        await isUndisturbed(t)
      })

      await t.test('handlers that throw or never end', async (t) => {
        const client = clients[0] as Client
        await t.rejects(client.sync('fault', 'S', 'Throw').call(new Uint8Array(0)), { category: Category.Internal, message: 'internal error' })
        const odd = client.biDir('fault', 'S', 'ThrowNothing')
        t.match(await odd.ended, { category: Category.Internal, message: 'internal error' })
        const error: unknown = await client.sync('fault', 'S', 'Never').call(new Uint8Array(0), { timeoutMs: 30 }).catch((thrown: unknown) => thrown)
        t.ok(RpcError.is(error) && error.category === Category.DeadlineExceeded)
        await isUndisturbed(t)
      })

      await t.test('garbage, and frames that announce too much', async (t) => {
        const faults: [string, Uint8Array][] = [
          ['garbage', Uint8Array.from({ length: 64 }, (_, i) => i * 37 + 11)],
          ['a frame of 1 TiB', Uint8Array.of(0, 0, 0x0e, 0xf8, 0xff, 0xff, 0xff, 0xff)],
          ['a field of size 0', Uint8Array.from(Buffer.from('00000e180000000006000e00000000008100000000000000', 'hex'))]
        ]
        for (const [name, bytes] of faults) {
          const one = peer()
          one.bytes(bytes)
          await one.closed()
          t.equal(one.goAway()?.errCode, Category.Internal, name)
        }
        await isUndisturbed(t)
      })
    })

    for (const one of peers) one.destroy()
    await Promise.all(peers.map((one) => one.closed()))
    peers.length = 0
    while (server.connections.size > clients.length) await new Promise((resolve) => { setImmediate(resolve) })
    await healthy.waitRounds(HEALTHY * 10)
    healthy.median()
    await healthy.waitRounds(HEALTHY * 30)
    const after = healthy.median()
    t.comment(`median latency of the healthy: ${calm.toFixed(2)} ms before, ${after.toFixed(2)} ms after round ${round}`)
    t.match(server.stats(), { connections: clients.length, sessions: HEALTHY + 2, running: HEALTHY })
    healthy.latencies = []
    memory.push(await heldMemory())
  }
  const [first = 0, second = 0] = memory
  t.ok(second < first * 1.1, `memory: ${first} bytes after the first round, ${second} after the second`)

  // A drain in the middle of it all: running calls are told to go, and finish.
  const drained = server.shutdown({ signal: AbortSignal.timeout(20_000) })
  await healthy.stop()
  t.equal(healthy.wrong, 0, `${healthy.rounds} echoes, none lost`)
  t.equal(await drained, true)
  await Promise.all(clients.map((client) => client.closed))
  listener.close()
  t.match(server.stats(), { connections: 0, sessions: 0, running: 0, queued: 0 })
  t.strictSame(unhandled, [])
})
