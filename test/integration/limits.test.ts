// Every limit that can be set, and those that are fixed: what happens at it, and one beyond. Numbers and sizes through the
// plugin and over a WebSocket, as a user meets them; times and buffers with a peer played by the test and its clock.
import { existsSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { Client } from '../../lib/client/client.js'
import { encodedMetadataBytes } from '../../lib/connection/limits.js'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { PLUGIN_OPTIONS, SERVER_OPTIONS } from '../../lib/options.js'
import type { OptionSpec } from '../../lib/options.js'
import { rpcPlugin } from '../../lib/plugin.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { messageFrameBytes } from '../../lib/wire/encode.js'
import { Compression } from '../../lib/wire/message.js'
import type { Payload } from '../../lib/wire/message.js'
import type { CallOptions } from '../../types/client-options.js'
import type { HandlerContext } from '../../types/handler-context.js'
import type { RpcPluginOptions, ServerOptions } from '../../types/options.js'
import { failureOf } from '../helpers/engine.js'
import { Arrivals, Gate, connectTo, listen, makeApp, upgradeStatus } from '../helpers/plugin-app.js'
import { msg, names, scriptedClient, settle, text, until, watch } from '../helpers/scripted-peer.js'
import type { Outcome, ScriptedClient } from '../helpers/scripted-peer.js'

const KIB = 1024
const WINDOW = 128 * KIB
const NOTHING = new Uint8Array(0)

// --- over a WebSocket

interface Served { app: FastifyInstance, client: Client, connectAnother: () => Promise<Client>, arrivals: Arrivals, gate: Gate }

/** What the metadata of a call ask for. */
const wanted = (context: HandlerContext): Uint8Array => new Uint8Array(Number(context.metadata.get('bytes') ?? 0))

async function served (t: Test, options: RpcPluginOptions): Promise<Served> {
  const { app } = makeApp(t)
  const [arrivals, gate] = [new Arrivals(), new Gate()]
  t.teardown(() => { gate.open() })
  await app.register(rpcPlugin, options)
  app.rpc
    .register('p', 'S', 'Sync', new SyncHandler((context) => wanted(context)))
    .register('p', 'S', 'Send', new SendHandler(async (context, stream) => {
      for await (const message of stream.recv()) if (message.byteLength < 0) break
      return wanted(context)
    }))
    .register('p', 'S', 'Recv', new RecvHandler(async (context, stream) => {
      await stream.request()
      await stream.send(wanted(context))
    }))
    .register('p', 'S', 'BiDir', new BiDirHandler(async (context, stream) => {
      for await (const message of stream.recv()) if (message.byteLength < 0) break
      await stream.send(wanted(context))
    }))
    .register('p', 'S', 'Wait', new SyncHandler(async () => {
      arrivals.arrive()
      await gate.opened
      return NOTHING
    }))
    .register('p', 'S', 'Hold', new BiDirHandler(async () => {
      arrivals.arrive()
      await gate.opened
    }))
  await listen(app)
  const connectAnother = (): Promise<Client> => connectTo(t, app)
  return { app, client: await connectAnother(), connectAnother, arrivals, gate }
}

/** One call of each kind with one message; resolves with how many bytes came back. */
const KINDS: Record<string, (client: Client, message: Uint8Array, options?: CallOptions) => Promise<number>> = {
  sync: async (client, message, options) => (await client.sync('p', 'S', 'Sync').call(message, options)).byteLength,
  async send (client, message, options) {
    const stream = client.send('p', 'S', 'Send', options)
    await stream.send(message)
    return (await stream.close()).byteLength
  },
  async recv (client, message, options) {
    let bytes = 0
    for await (const answer of client.recv('p', 'S', 'Recv', { ...options, request: message })) bytes += answer.byteLength
    return bytes
  },
  async biDir (client, message, options) {
    const stream = client.biDir('p', 'S', 'BiDir', options)
    await stream.send(message)
    stream.closeSend()
    let bytes = 0
    for await (const answer of stream.recv()) bytes += answer.byteLength
    return bytes
  }
}

const metadataOf = (bytes: number): Record<string, Uint8Array> => ({ k: new Uint8Array(bytes - 25) })

// --- with a peer played by the test

const forEver = (context: HandlerContext): Promise<void> => new Promise((resolve) => { context.signal.addEventListener('abort', () => { resolve() }) })
const costOf = (payload: Payload): number => messageFrameBytes(payload) + 64
/** A payload that costs exactly this much credit. */
const costing = (cost: number, fields: Partial<Payload> = {}): Payload => {
  const overhead = costOf(msg.payload({ ...fields, payload: new Uint8Array(8) })) - 8
  return msg.payload({ ...fields, payload: new Uint8Array(cost - overhead) })
}

interface Scripts { sync?: SyncHandler['handle'], biDir?: BiDirHandler['handle'] }

/** A server, and a session of that kind which a scripted client has opened. */
async function opened (t: Test, kind: 'sync' | 'biDir', options: ServerOptions, scripts: Scripts = {}, open: Parameters<typeof msg.open>[0] = {}): Promise<ScriptedClient> {
  const set = scriptedClient(t, { keepAliveIntervalMs: 0, ...options }, (server) => {
    server.register('p', 'S', 'Sync', new SyncHandler(scripts.sync ?? ((_context, request) => request)))
    server.register('p', 'S', 'BiDir', new BiDirHandler(scripts.biDir ?? forEver))
  })
  set.peer.send(msg.open({ descr: names[kind], ...open }))
  await set.peer.expect('openAck', { sessionID: 1, errCode: 0 })
  return set
}

// --- the limits that can be set

const LIMITS: Record<string, (t: Test) => Promise<void>> = {
  async maxRecvMsgSize (t) {
    const { client } = await served(t, { maxRecvMsgSize: 1000 })
    for (const [kind, call] of Object.entries(KINDS)) {
      await t.resolves(call(client, new Uint8Array(1000)), kind)
      t.match(await failureOf(call(client, new Uint8Array(1001))), { category: Category.ResourceExhausted, message: /1000 bytes/ }, kind)
    }
    // A client that asks before it knows the limit is answered by the server itself.
    const { peer } = await opened(t, 'sync', { maxRecvMsgSize: 1000 })
    const inflating = (bytes: number): Partial<Payload> => ({ payload: new Uint8Array(gzipSync(new Uint8Array(bytes))), compression: Compression.Gzip })
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(1000) }), msg.payload({ reqID: 2, payload: new Uint8Array(1001) }))
    await peer.expect('payload', { reqID: 1, errCode: 0 })
    await peer.expect('payload', { reqID: 2, errCode: Category.ResourceExhausted })
    peer.send(msg.payload({ reqID: 3, ...inflating(1000) }), msg.payload({ reqID: 4, ...inflating(1001) }))
    await peer.expect('payload', { reqID: 3, errCode: 0 })
    await peer.expect('payload', { reqID: 4, errCode: Category.ResourceExhausted })
  },

  async maxSendMsgSize (t) {
    const { client } = await served(t, { maxSendMsgSize: 1000 })
    for (const [kind, call] of Object.entries(KINDS)) {
      t.equal(await call(client, NOTHING, { metadata: { bytes: '1000' } }), 1000, kind)
      t.match(await failureOf(call(client, NOTHING, { metadata: { bytes: '1001' } })), { category: Category.ResourceExhausted, message: /maxSendMsgSize of 1000/ }, kind)
    }
  },

  async maxMetadataBytes (t) {
    const { connectAnother } = await served(t, { maxMetadataBytes: 1000 })
    for (const [kind, call] of Object.entries(KINDS)) {
      await t.resolves(call(await connectAnother(), NOTHING, { metadata: metadataOf(1000) }), kind)
      t.match(await failureOf(call(await connectAnother(), NOTHING, { metadata: metadataOf(1001) })), { category: Category.ResourceExhausted, message: 'metadata exceed 1000 bytes' }, kind)
    }
  },

  async maxConnections (t) {
    const { app, client } = await served(t, { maxConnections: 2 })
    t.equal((await upgradeStatus(t, app)).status, 101, 'the second')
    t.match(await upgradeStatus(t, app), { status: 503, body: { code: ErrorCode.TOO_MANY_CONNECTIONS } }, 'the third')
    t.equal(await KINDS.sync?.(client, NOTHING), 0, 'those that are there go on')
  },

  async maxSessionsPerConnection (t) {
    const { client, connectAnother, arrivals, gate } = await served(t, { maxSessionsPerConnection: 2 })
    const held = [client.biDir('p', 'S', 'Hold'), client.biDir('p', 'S', 'Hold')]
    await arrivals.reach(2)
    for (const [kind, call] of Object.entries(KINDS)) {
      t.match(await failureOf(call(client, NOTHING)), { category: Category.ResourceExhausted, message: /more than 2 sessions/ }, kind)
    }
    t.equal(await KINDS.sync?.(await connectAnother(), NOTHING), 0, 'another connection has its own')
    gate.open()
    t.strictSame(await Promise.all(held.map((stream) => stream.ended)), [undefined, undefined])
    t.equal(await KINDS.sync?.(client, NOTHING), 0)
  },

  async maxConcurrentRPCs (t) {
    const { app, client, connectAnother, arrivals, gate } = await served(t, { maxConcurrentRPCs: 2 })
    const calls = [client.biDir('p', 'S', 'Hold').ended, client.sync('p', 'S', 'Wait').call(NOTHING)]
    await arrivals.reach(2)
    // On whatever connection.
    const third = watch((await connectAnother()).sync('p', 'S', 'Wait').call(NOTHING))
    await until(() => app.rpc.stats().queued > 0)
    t.match(app.rpc.stats(), { running: 2, queued: 1 })
    t.notOk(third.isSettled, 'it waits')
    gate.open()
    await Promise.all(calls)
    await arrivals.reach(3)
  },

  async maxQueuedRPCs (t) {
    const { app, client, arrivals, gate } = await served(t, { maxConcurrentRPCs: 1, maxQueuedRPCs: 1 })
    const first = client.sync('p', 'S', 'Wait').call(NOTHING)
    await arrivals.reach(1)
    const second = client.sync('p', 'S', 'Wait').call(NOTHING)
    await until(() => app.rpc.stats().queued > 0)
    for (const [kind, call] of Object.entries(KINDS)) {
      t.match(await failureOf(call(client, NOTHING)), { category: Category.ResourceExhausted, message: 'too many RPCs are waiting' }, kind)
    }
    gate.open()
    t.strictSame(await Promise.all([first, second]), [NOTHING, NOTHING])
  },

  async maxRequestsPerConnection (t) {
    const { app, client, connectAnother, arrivals, gate } = await served(t, { maxRequestsPerConnection: 2 })
    const wait = client.sync('p', 'S', 'Wait')
    const calls = [wait.call(NOTHING), wait.call(NOTHING), wait.call(NOTHING)].map(watch)
    await arrivals.reach(2)
    // Whoever comes later on another connection shows that the third of this one had its chance.
    t.equal(await KINDS.sync?.(await connectAnother(), NOTHING), 0)
    await until(() => app.rpc.stats().callsStarted === 4)
    t.equal(arrivals.count, 2)
    t.strictSame(calls.map(({ isSettled }) => isSettled), [false, false, false], 'and nothing is refused')
    gate.open()
    await arrivals.reach(3)
  },

  async windowBytes (t) {
    const { peer } = await opened(t, 'biDir', { windowBytes: WINDOW })
    peer.send(costing(WINDOW / 2), costing(WINDOW / 2))
    await peer.expectSilence()
    peer.send(msg.payload({ payload: text('x') }))
    await peer.expect('close', { errCode: Category.ResourceExhausted, error: 'flow control window exceeded' })
  },

  async maxWindowBytes (t) {
    const { peer } = await opened(t, 'biDir', { windowBytes: WINDOW, maxWindowBytes: 2 * WINDOW }, {
      async biDir (_context, stream) { for await (const bytes of stream.recv()) if (bytes.byteLength < 0) break }
    })
    let credit = WINDOW
    let most = credit
    for (let i = 0; i < 20; i++) {
      for (; credit >= WINDOW / 2; credit -= WINDOW / 2) peer.send(costing(WINDOW / 2))
      const heard = peer.all('windowUpdate').length
      await settle()
      for (const { bytes } of peer.all('windowUpdate').slice(heard)) credit += bytes
      most = Math.max(most, credit)
    }
    t.equal(most, 2 * WINDOW, 'grown to it, and no further')
  },

  async sendBufferBytes (t) {
    /** How a send of so many bytes fares behind one of 200,000, of which the peer takes no more than its window. */
    const second = async (bytes: number): Promise<Outcome<void>> => {
      let outcome: Outcome<void> | undefined
      await opened(t, 'biDir', { sendBufferBytes: 300_000 }, {
        async biDir (context, stream) {
          watch(stream.send(new Uint8Array(200_000)))
          outcome = watch(stream.send(new Uint8Array(bytes)))
          await forEver(context)
        }
      })
      await settle()
      if (outcome === undefined) throw new Error('the handler did not run')
      return outcome
    }
    // A message weighs its bytes and 64.
    const fits = 300_000 - 200_064 - 64
    t.notOk((await second(fits)).isSettled, 'waits for the peer')
    t.match((await second(fits + 1)).error, { category: Category.ResourceExhausted, code: ErrorCode.SEND_QUEUE_FULL })
  },

  async recvBufferBytes (t) {
    for (const [cost, isPaused] of [[64 * KIB - 8, false], [64 * KIB, true]] as const) {
      const { peer, conn } = await opened(t, 'biDir', { recvBufferBytes: 64 * KIB }, {}, { protocolMinor: 0 })
      peer.send(costing(cost))
      await settle()
      t.equal(conn.connection.isPaused, isPaused, `${cost} bytes unread`)
    }
  },

  async reassemblyPlaces (t) {
    const { peer } = await opened(t, 'biDir', { reassemblyPlaces: 2, windowBytes: WINDOW, maxWindowBytes: 0 })
    for (const openID of [2, 3]) {
      peer.send(msg.open({ openID, descr: names.biDir }))
      await peer.expect('openAck', { openID, errCode: 0 })
    }
    const half = (sessionID: number): Payload => costing(WINDOW / 2, { sessionID, more: true })
    peer.send(half(1), half(2), half(3))
    await peer.expect('windowUpdate', { sessionID: 1 })
    await peer.expect('windowUpdate', { sessionID: 2 })
    await peer.expectSilence()
    peer.send(msg.close({ sessionID: 1 }))
    await peer.expect('windowUpdate', { sessionID: 3 })
  },

  async maxDeadlineMs (t) {
    const requests = await opened(t, 'sync', { maxDeadlineMs: 100 }, { sync: () => new Promise(() => {}) })
    requests.peer.send(msg.payload({ reqID: 1, deadlineMS: 100n }), msg.payload({ reqID: 2, deadlineMS: 101n }), msg.payload({ reqID: 3 }))
    await settle()
    requests.clock.advance(99)
    await requests.peer.expectSilence()
    requests.clock.advance(1)
    for (const reqID of [1, 2, 3]) await requests.peer.expect('payload', { reqID, errCode: Category.DeadlineExceeded })
    const stream = await opened(t, 'biDir', { maxDeadlineMs: 100 }, {}, { deadlineMS: 101n })
    stream.clock.advance(99)
    await stream.peer.expectSilence()
    stream.clock.advance(1)
    await stream.peer.expect('close', { errCode: Category.DeadlineExceeded })
  },

  async handshakeTimeoutMs (t) {
    const { peer, conn, clock } = scriptedClient(t, { handshakeTimeoutMs: 10_000 })
    clock.advance(9_999)
    await peer.expectSilence()
    clock.advance(1)
    await peer.expect('goAway', { debugData: 'no session was opened in time' })
    await peer.expectEnd()
    t.equal(conn.error?.code, ErrorCode.HANDSHAKE_TIMEOUT)
  },

  async idleTimeoutMs (t) {
    const { peer, conn, clock } = await opened(t, 'sync', { idleTimeoutMs: 60_000 })
    peer.send(msg.close())
    await settle()
    clock.advance(59_999)
    await peer.expectSilence()
    clock.advance(1)
    await peer.expect('goAway', { debugData: 'the connection was idle for too long' })
    await peer.expectEnd()
    t.equal(conn.error?.code, ErrorCode.IDLE_TIMEOUT)
  },

  async keepAliveIntervalMs (t) {
    const { peer, clock } = await opened(t, 'biDir', { keepAliveIntervalMs: 30_000 })
    clock.advance(29_999)
    await peer.expectSilence()
    clock.advance(1)
    await peer.expect('ping')
  },

  async keepAliveTimeoutMs (t) {
    const { peer, conn, clock } = await opened(t, 'biDir', { keepAliveIntervalMs: 30_000, keepAliveTimeoutMs: 10_000 })
    clock.advance(30_000)
    await peer.expect('ping')
    clock.advance(9_999)
    t.ok(conn.connection.isOpen)
    clock.advance(1)
    await peer.expectEnd()
    t.equal(conn.error?.code, ErrorCode.PING_TIMEOUT)
  },

  async stallTimeoutMs (t) {
    const talk: BiDirHandler['handle'] = async (context, stream) => {
      stream.send(new Uint8Array(500_000)).catch(() => { /* the stream's end says so too */ })
      await forEver(context)
    }
    const noCredit = await opened(t, 'biDir', { stallTimeoutMs: 60_000 }, { biDir: talk })
    noCredit.peer.ignored.add('payload')
    await settle()
    noCredit.clock.advance(60_000)
    await noCredit.peer.expectSilence()
    noCredit.clock.advance(1000)
    await noCredit.peer.expect('close', { errCode: Category.ResourceExhausted, error: 'no credit for too long' })

    const go = new Gate()
    const full = await opened(t, 'biDir', { stallTimeoutMs: 60_000 }, {
      async biDir (context, stream) {
        await go.opened
        await talk(context, stream)
      }
    }, { window: 0x7fffffff })
    full.peer.transport.pause()
    go.open()
    await settle()
    full.clock.advance(60_000)
    t.ok(full.conn.connection.isOpen)
    full.clock.advance(1000)
    t.notOk(full.conn.connection.isOpen)
    await full.conn.closed
    t.equal(full.conn.error?.code, ErrorCode.SLOW_READER)
  },

  async messageTimeoutMs (t) {
    const { peer, clock } = await opened(t, 'biDir', { messageTimeoutMs: 30_000 })
    peer.send(msg.payload({ payload: new Uint8Array(10_000), more: true }))
    await settle()
    clock.advance(30_000)
    await peer.expectSilence()
    clock.advance(1000)
    await peer.expect('close', { errCode: Category.ResourceExhausted, error: 'message not finished' })
  },

  async compressionMinBytes (t) {
    const { peer } = await opened(t, 'sync', { compression: 'gzip', compressionMinBytes: 1000 })
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(999) }))
    await peer.expect('payload', { reqID: 1, compression: Compression.None })
    peer.send(msg.payload({ reqID: 2, payload: new Uint8Array(1000) }))
    await peer.expect('payload', { reqID: 2, compression: Compression.Gzip })
  }
}

/** Tried where it belongs: both take real time, or none at all. */
const ELSEWHERE: Record<string, string> = { shutdownTimeoutMs: 'test/plugin.test.ts' }

for (const [name, run] of Object.entries(LIMITS)) t.test(`${name}: at it, and one beyond`, run)

t.test('every number among the options has its test', (t) => {
  const tables: Record<string, OptionSpec> = { ...SERVER_OPTIONS, ...PLUGIN_OPTIONS }
  const numbers = Object.entries(tables).filter(([, { kind }]) => kind === 'integer').map(([name]) => name)
  t.strictSame([...Object.keys(LIMITS), ...Object.keys(ELSEWHERE)].sort(), numbers.sort())
  for (const [name, path] of Object.entries(ELSEWHERE)) {
    const file = new URL(`../../${path}`, import.meta.url)
    t.ok(existsSync(file) && readFileSync(file, 'utf8').includes(name), `${name} in ${path}`)
  }
  t.end()
})

// --- those that are fixed

t.test('a name has at most 1 KiB', async (t) => {
  const { peer, server } = scriptedClient(t)
  const name = 'n'.repeat(1024)
  server.register(name, name, name, new SyncHandler((_context, request) => request))
  peer.send(msg.open({ descr: { package: name, service: name, call: name, type: names.sync.type } }))
  await peer.expect('openAck', { errCode: 0 })
  for (const part of ['package', 'service', 'call'] as const) {
    peer.send(msg.open({ openID: 2, descr: { package: name, service: name, call: name, type: names.sync.type, [part]: name + 'n' } }))
    await peer.expect('openAck', { openID: 2, errCode: Category.InvalidArgument })
  }
})

/** The longest value under the key `k` that still has its place in so many bytes as encoded, and the next one that has not. */
function valuesAround (maxBytes: number): [Uint8Array, Uint8Array] {
  let length = maxBytes
  while (encodedMetadataBytes([{ key: 'k', value: new Uint8Array(length) }]) > maxBytes) length--
  return [new Uint8Array(length), new Uint8Array(length + 1)]
}

t.test('metadata of one message, of an answer, trailers and response headers have at most 16 KiB', async (t) => {
  const [fits, tooLarge] = valuesAround(16 * KIB)
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  const valueOf = (context: Pick<HandlerContext, 'metadata'>, where: string): Record<string, Uint8Array> => {
    const size = context.metadata.get(where)
    return size === undefined ? {} : { k: size === 'fits' ? fits : tooLarge }
  }
  app.rpc
    .register('p', 'S', 'Sync', new SyncHandler((context) => {
      context.setTrailer(valueOf(context, 'answer'))
      return NOTHING
    }))
    .register('p', 'S', 'Recv', new RecvHandler(async (context, stream) => {
      await stream.send(NOTHING, { metadata: valueOf(context, 'message') })
      stream.setTrailer(valueOf(context, 'trailer'))
    }, { headers: (context) => valueOf(context, 'headers') }))
  await listen(app)
  const client = await connectTo(t, app)
  const sync = client.sync('p', 'S', 'Sync')
  await sync.call(NOTHING)

  t.equal((await sync.exchange(NOTHING, { metadata: { answer: 'fits' } })).metadata.getBytes('k')?.byteLength, fits.byteLength)
  t.match(await failureOf(sync.call(NOTHING, { metadata: { answer: 'beyond' } })), { category: Category.ResourceExhausted }, 'of an answer')
  await t.resolves(sync.call(NOTHING, { metadata: { k: fits } }))
  await t.resolves(sync.call(NOTHING, { metadata: { k: tooLarge } }), 'a request beyond it travels in an Open of its own')
  await t.resolves(sync.call(NOTHING, { metadata: { k: new Uint8Array(64 * KIB - 25) } }))
  t.match(await failureOf(sync.call(NOTHING, { metadata: { k: new Uint8Array(64 * KIB - 24) } })), { category: Category.ResourceExhausted, code: ErrorCode.METADATA_TOO_LARGE }, 'where 64 KiB are the bound')

  const watchWith = async (metadata: Record<string, string>): Promise<{ error: RpcError | undefined, sizes: (number | undefined)[] }> => {
    const stream = client.recv('p', 'S', 'Recv', { metadata })
    const sizes: (number | undefined)[] = []
    const error = await (async () => { for await (const message of stream.messages()) sizes.push(message.metadata.getBytes('k')?.byteLength) })().then(() => undefined, (thrown: unknown) => RpcError.from(thrown))
    return { error, sizes: [stream.headers.getBytes('k')?.byteLength, ...sizes, stream.trailer.getBytes('k')?.byteLength] }
  }
  t.strictSame(await watchWith({ headers: 'fits', message: 'fits', trailer: 'fits' }), { error: undefined, sizes: [fits.byteLength, fits.byteLength, fits.byteLength] })
  t.match((await watchWith({ message: 'beyond' })).error, { category: Category.ResourceExhausted })
  t.match((await watchWith({ trailer: 'beyond' })).error, { category: Category.ResourceExhausted })
  t.match((await watchWith({ headers: 'beyond' })).error, { category: Category.Internal, message: 'internal error' }, 'a mistake of the handler, told in the log')
})

t.test('10,000 frames in ten seconds may achieve nothing', async (t) => {
  const { peer, conn } = scriptedClient(t)
  peer.ignored.add('pong')
  for (let i = 0; i < 100; i++) {
    peer.send(...Array.from({ length: 100 }, (_, at) => msg.ping(at + 1)))
    await settle(1)
  }
  await peer.expectSilence()
  t.ok(conn.connection.isOpen)
  peer.send(msg.ping(1))
  await peer.expect('goAway', { errCode: Category.ResourceExhausted, debugData: 'too many control frames' })
  await peer.expectEnd()
})

// --- the client's own

t.test('a client\'s maxSendMsgSize and maxRecvMsgSize', async (t) => {
  const { app } = await served(t, {})
  const client = await connectTo(t, app, { maxSendMsgSize: 1000, maxRecvMsgSize: 2000 })
  for (const [kind, call] of Object.entries(KINDS)) {
    t.equal(await call(client, new Uint8Array(1000), { metadata: { bytes: '2000' } }), 2000, kind)
    t.match(await failureOf(call(client, new Uint8Array(1001))), { category: Category.ResourceExhausted, code: ErrorCode.MESSAGE_TOO_LARGE }, `${kind}: too much to send`)
    t.match(await failureOf(call(client, NOTHING, { metadata: { bytes: '2001' } })), { category: Category.ResourceExhausted }, `${kind}: too much to receive`)
  }
})
