// Malformed and hostile peers, in memory and over real sockets: each gets a clear end, nobody else notices, nothing is
// left. Beside fault-suite.test.ts, which loads a server from all sides at once, this goes through the malformed ones
// one by one and lets chance invent others.
import { once } from 'node:events'
import { connect as connectSocket, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { Client } from '../../lib/client/client.js'
import { ErrorCode, RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { duplexTransport } from '../../lib/transport/duplex.js'
import { memoryPair } from '../../lib/transport/memory.js'
import type { SendableMessage } from '../../lib/wire/encode.js'
import { MsgType, RpcType } from '../../lib/wire/message.js'
import type { Logger } from '../../types/logger.js'
import type { Transport } from '../../types/transport.js'
import { fromHex, readJson } from '../conformance/data.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { ScriptedPeer, attach, frameOf, msg, names, scriptedClient, settle, str, text, until, watch } from '../helpers/scripted-peer.js'

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => { unhandled.push(reason) })

/** Notes what the engine complains of. */
function loggerOf (complaints: unknown[]): Logger {
  const silent = (): void => {}
  const logger: Logger = { fatal: silent, error: (fields: object | string) => { complaints.push(fields) }, warn: silent, info: silent, debug: silent, trace: silent, child: () => logger }
  return logger
}

const abort = (signal: AbortSignal): Promise<void> => new Promise((resolve) => {
  if (signal.aborted) return resolve()
  signal.addEventListener('abort', () => { resolve() })
})

function register (server: Server): void {
  server.register('p', 'S', 'Sync', new SyncHandler(async (context, request) => {
    if (str(request) === 'throw') throw new RpcError(5, 'no')
    if (str(request) === 'wait') await abort(context.signal)
    return request
  }))
  server.register('p', 'S', 'BiDir', new BiDirHandler(async (_context, stream) => { for await (const bytes of stream.recv()) await stream.send(bytes) }))
  server.register('p', 'S', 'Send', new SendHandler(async (_context, stream) => { let last: Uint8Array | undefined; for await (const bytes of stream.recv()) last = bytes; return last }))
  server.register('p', 'S', 'Recv', new RecvHandler(async (_context, stream) => { const bytes = await stream.request(); for (let i = 0; i < 5; i++) await stream.send(bytes) }))
  server.register('p', 'S', 'Idle', new BiDirHandler(async (context) => { await abort(context.signal) }))
}

/** Healthy streams on connections of their own, which say something and hear it again as often as they are asked to. */
class Healthy {
  readonly #streams: { send: (bytes: Uint8Array) => Promise<void>, messages: AsyncIterator<Uint8Array> }[]
  #count = 0

  constructor (clients: Client[], streamsEach: number) {
    this.#streams = clients.flatMap((client) => Array.from({ length: streamsEach }, () => {
      const stream = client.biDir('p', 'S', 'BiDir')
      return { send: (bytes) => stream.send(bytes), messages: stream.recv() }
    }))
  }

  async check (t: Test): Promise<void> {
    const said = text(`message ${++this.#count}`)
    const heard = await Promise.all(this.#streams.map(async ({ send, messages }) => {
      await send(said)
      const { value } = await messages.next() as IteratorResult<Uint8Array, undefined>
      return value !== undefined && Buffer.compare(value, said) === 0
    }))
    if (heard.includes(false)) t.fail('a healthy stream was disturbed')
  }
}

interface Place { server: Server, connect: () => Promise<ScriptedPeer>, healthy: Healthy }

const PLACES: Record<string, (t: Test) => Promise<Place>> = {
  async memory (t) {
    const server = new Server({ handshakeTimeoutMs: 0 })
    register(server)
    const client = (): Client => {
      const [here, there] = memoryPair()
      server.connect(here)
      return new Client(there)
    }
    const clients = Array.from({ length: 4 }, client)
    t.teardown(() => { for (const client of clients) client.destroy() })
    return { server, connect: async () => attach(t, server).peer, healthy: new Healthy(clients, 5) }
  },
  async tcp (t) {
    const server = new Server({ handshakeTimeoutMs: 0 })
    register(server)
    const listener = createServer((socket) => { server.connect(duplexTransport(socket)) })
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    const transports: Transport[] = []
    const connect = async (): Promise<Transport> => {
      const socket = connectSocket(port, '127.0.0.1')
      await once(socket, 'connect')
      const transport = duplexTransport(socket)
      transports.push(transport)
      return transport
    }
    const clients: Client[] = []
    for (let i = 0; i < 4; i++) clients.push(new Client(await connect()))
    t.teardown(() => {
      for (const transport of transports) transport.destroy()
      listener.close()
    })
    return { server, connect: async () => new ScriptedPeer(await connect()), healthy: new Healthy(clients, 5) }
  }
}

interface ErrorVector { name: string, kind: 'decode' | 'unpack' | 'pack', hex: string }
const { errors } = readJson<{ errors: ErrorVector[] }>('vectors.json')

/** Those that a stream only knows to be cut off when it ends. */
const WAITS = new Set(['short_header', 'size_exceeds_data', 'unpack_short', 'unpack_announces_more', 'unpack_huge_packed_size'])

for (const [name, open] of Object.entries(PLACES)) {
  t.test(`malformed peers (${name})`, async t => {
    const { server, connect, healthy } = await open(t)
    await healthy.check(t)
    const healthyConnections = server.connections.size
    const before = process.memoryUsage()

    const endsWith = async (t: Test, peer: ScriptedPeer, errCode = 13): Promise<void> => {
      const goAway = await peer.expect('goAway', { errCode })
      t.not(goAway.debugData, '', goAway.debugData)
      await peer.expectEnd()
      await until(() => server.connections.size === healthyConnections)
      await healthy.check(t)
    }

    for (const { name, kind, hex } of errors) {
      if (kind !== 'decode') continue
      await t.test(name, async t => {
        const peer = await connect()
        const bytes = fromHex(hex)
        peer.sendBytes(bytes)
        if (WAITS.has(name)) {
          await settle()
          t.notOk(peer.isClosed, 'the rest may come')
          peer.transport.close()
          await peer.expectEnd()
          await until(() => server.connections.size === healthyConnections)
          return await healthy.check(t)
        }
        await endsWith(t, peer)
      })
    }

    await t.test('after a good beginning', async t => {
      const peer = await connect()
      peer.send(msg.open({ descr: names.biDir }), msg.payload({ payload: text('fine') }))
      await peer.expect('openAck')
      await peer.expect('payload', { payload: text('fine') })
      const bad = frameOf(msg.payload({ payload: text('bad') }))
      bad[24 + 2] = 0x0e
      peer.sendBytes(bad)
      await endsWith(t, peer)
      t.equal(server.stats().running, 20, 'its handler was told')
    })

    await t.test('garbage', async t => {
      for (const garbage of ['GET / HTTP/1.1\r\nHost: example.org\r\n\r\n', 'x'.repeat(1000), '\u0000'.repeat(64), '\u0016\u0003\u0001\u0002\u0000\u0001\u0000']) {
        const peer = await connect()
        peer.sendBytes(Buffer.from(garbage.padEnd(16)))
        await endsWith(t, peer)
      }
    })

    await t.test('a frame that announces a tebibyte', async t => {
      const peer = await connect()
      peer.sendBytes(new Uint8Array([0, 0, 0x0e, 0xf8, 0xff, 0xff, 0xff, 0xff]))
      await endsWith(t, peer)
    })

    await t.test('many of them at once', async t => {
      const peers = await Promise.all(Array.from({ length: 50 }, connect))
      for (const peer of peers) peer.sendBytes(new Uint8Array(64).fill(0xff))
      await Promise.all(peers.map((peer) => peer.expectEnd()))
      await until(() => server.connections.size === healthyConnections)
      await healthy.check(t)
    })

    await t.test('half a frame from many', async t => {
      const peers = await Promise.all(Array.from({ length: 50 }, connect))
      // Each announces four megabytes and sends four bytes of them.
      for (const peer of peers) peer.sendBytes(new Uint8Array([0, 0, 0x0e, 0, 0, 0x40, 0, 0, 1, 2, 3, 4]))
      await settle()
      await healthy.check(t)
      for (const peer of peers) peer.transport.destroy()
      await until(() => server.connections.size === healthyConnections)
    })

    const grown = process.memoryUsage().rss - before.rss
    t.ok(grown < 150e6, `memory grew by ${(grown / 1e6).toFixed()} MB`)
    t.equal(server.stats().sessions, 20)
    t.equal(server.stats().running, 20)
  })
}

t.test('packed malformed peers', async t => {
  const { server, peer: first } = scriptedClient(t, { packing: true, handshakeTimeoutMs: 0 }, register)
  first.transport.destroy()
  for (const { name, kind, hex } of errors) {
    if (kind !== 'unpack') continue
    await t.test(name, async t => {
      const { peer, conn } = attach(t, server)
      peer.agreesToPack = true
      peer.send(msg.open({ descr: names.sync, packing: true }))
      await peer.expect('openAck', { packing: true })
      peer.sendBytes(fromHex(hex))
      if (WAITS.has(name)) {
        await settle()
        const isTooLarge = peer.heard.length > 1
        if (!isTooLarge) t.notOk(peer.isClosed, 'the rest may come')
        peer.transport.close()
      } else await peer.expect('goAway', { errCode: 13 })
      await conn.closed
    })
  }
})

t.test('a client against malformed servers', async t => {
  for (const { name, kind, hex } of errors) {
    if (kind !== 'decode' || WAITS.has(name)) continue
    const [here, there] = memoryPair()
    const client = new Client(here)
    const peer = new ScriptedPeer(there)
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    await peer.expect('open')
    peer.sendBytes(fromHex(hex))
    await peer.expect('goAway', { errCode: 13 })
    await until(() => call.isSettled)
    t.match(call.error, { category: 14, code: ErrorCode.MALFORMED }, name)
    t.match(await client.closed, { code: ErrorCode.MALFORMED })
    t.equal(client.running, 0)
  }
})

t.test('a sender that never stops against a handler that never reads', async t => {
  await t.test('1.1: the session ends with the credit', async t => {
    const { peer, server } = scriptedClient(t, { handshakeTimeoutMs: 0 }, register)
    peer.send(msg.open({ descr: { ...names.biDir, call: 'Idle' } }))
    for (let i = 0; i < 1000; i++) peer.send(msg.payload({ payload: new Uint8Array(60_000) }))
    await peer.expect('openAck')
    await peer.expect('close', { errCode: 8, error: 'flow control window exceeded' })
    peer.send(msg.ping(1))
    await peer.expect('pong')
    await until(() => server.stats().running === 0)
  })

  await t.test('1.0: the transport is paused and what is held bounded', async t => {
    const { peer, conn, server } = scriptedClient(t, { handshakeTimeoutMs: 0, recvBufferBytes: 1 << 20 }, register)
    for (let id = 1; id <= 5; id++) peer.send(msg.open({ openID: id, protocolMinor: 0, descr: { ...names.biDir, call: 'Idle' } }))
    for (let i = 0; i < 500; i++) peer.send(msg.payload({ sessionID: 1 + i % 5, payload: new Uint8Array(60_000) }))
    await settle()
    t.ok(conn.connection.isPaused)
    const held = [...conn.connection.sessions].reduce((sum, session) => sum + session.heldBytes, 0)
    t.ok(held < (1 << 20) + 70_000, `${held} bytes`)
    t.ok(server.stats().bytesReceived < 2e6)
    peer.transport.destroy()
    await until(() => server.stats().running === 0)
  })
})

t.test('a peer that reads nothing: the server holds little, however much it has to say', async t => {
  const server = new Server({ handshakeTimeoutMs: 0, sendBufferBytes: 1 << 20 })
  let produced = 0
  server.register('p', 'S', 'Recv', new RecvHandler(async (context, stream) => {
    while (!context.signal.aborted) {
      await stream.send(new Uint8Array(50_000))
      produced += 50_000
    }
  }))
  const { peer, conn } = attach(t, server)
  peer.transport.pause()
  peer.send(...Array.from({ length: 50 }, (_, i) => msg.open({ openID: i + 1, descr: names.recv, window: 0x7fffffff, first: msg.first({ endStream: true }) })))
  await settle()
  const before = produced
  t.ok(before > 0)
  await settle(200)
  t.ok(produced - before < 1e6, `${produced - before} bytes were made that nobody reads`)
  t.ok(conn.connection.unsentBytes < 300_000)
  peer.transport.destroy()
  await until(() => server.stats().running === 0)
})

t.test('storms', async t => {
  await t.test('of Opens to missing methods', async t => {
    const { peer, server } = scriptedClient(t, {}, register)
    peer.ignored.add('openAck')
    for (let i = 0; i < 100; i++) peer.send(...Array.from({ length: 1000 }, (_, at) => msg.open({ openID: i * 1000 + at, descr: { ...names.sync, call: 'Missing' } })))
    await peer.expect('goAway', { errCode: 8 })
    await until(() => server.connections.size === 0)
  })

  await t.test('of requests and their Cancels', async t => {
    const { peer, server } = scriptedClient(t, { maxRequestsPerConnection: 10 }, register)
    peer.send(msg.open({ descr: names.sync }))
    for (let i = 1; i <= 2000; i++) peer.send(msg.payload({ reqID: i, payload: text('wait') }), msg.cancel({ reqID: i }))
    await until(() => peer.all('payload').length === 2000)
    t.ok(peer.all('payload').every(({ errCode }) => errCode === 1))
    t.same(peer.all('payload').map(({ reqID }) => reqID).sort((a, b) => a - b), Array.from({ length: 2000 }, (_, i) => i + 1), 'each is answered once')
    t.equal(server.stats().running, 0)
    peer.send(msg.payload({ reqID: 1, payload: text('x') }))
    await until(() => peer.all('payload').length === 2001)
  })

  await t.test('of sessions that are opened and canceled at once', async t => {
    const { peer, server } = scriptedClient(t, {}, register)
    for (let i = 1; i <= 2000; i++) peer.send(msg.open({ openID: i, descr: names.biDir }), msg.payload({ sessionID: i, payload: text('x') }), msg.cancel({ sessionID: i }))
    await until(() => peer.all('close').length === 2000)
    t.equal(server.stats().sessions, 0)
    await until(() => server.stats().running === 0)
  })
})

/** Messages of all types with numbers that may or may not mean something. */
const anyMessage: fc.Arbitrary<SendableMessage> = (() => {
  // A number never issued ends a connection: seldom, or nothing else would be seen.
  const id = fc.oneof({ weight: 60, arbitrary: fc.integer({ min: 1, max: 3 }) }, { weight: 1, arbitrary: fc.constantFrom(0, 5, 77, 0xffffffff) })
  const bytes = fc.oneof(
    fc.constantFrom('', 'x', 'throw', 'wait').map(text),
    fc.integer({ min: 4096, max: 65_536 }).map((length) => new Uint8Array(length)),
    fc.uint8Array({ maxLength: 50 })
  )
  const rarely = <T>(usual: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> => fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
  const metadata = rarely<{ key: string, value: Uint8Array }[]>([], fc.array(fc.record({ key: fc.string({ maxLength: 5 }), value: fc.uint8Array({ maxLength: 20 }) }), { maxLength: 3 }))
  const payload = fc.record({
    reqID: id,
    payload: bytes,
    endStream: rarely(false, fc.boolean()),
    compression: rarely(0, fc.constantFrom(1, 2, 9)),
    metadata,
    errCode: rarely(0, fc.constantFrom(1, 99)),
    deadlineMS: fc.constantFrom(0n, 0n, 0n, 1n, 50n),
    more: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) })
  })
  const kinds = [names.sync, names.biDir, names.send, names.recv, { ...names.sync, call: 'Missing' }, { ...names.recv, type: RpcType.Send }]
  const open = fc.record({
    openID: id,
    protocolMajor: rarely(1, fc.constantFrom(0, 2)),
    descr: fc.constantFrom(...kinds),
    deadlineMS: rarely(0n, fc.constantFrom(1n, 30n)),
    window: fc.constantFrom(0, 200_000, 0xffffffff),
    maxPayloadSize: rarely(0, fc.constant(100)),
    metadata,
    first: fc.option(payload.map((fields) => msg.first(fields)), { nil: undefined })
  })
  return fc.oneof(
    { weight: 4, arbitrary: open.map((fields) => msg.open(fields)) },
    { weight: 12, arbitrary: fc.tuple(id, payload).map(([sessionID, fields]) => msg.payload({ sessionID, ...fields })) },
    { weight: 2, arbitrary: fc.tuple(id, id).map(([sessionID, reqID]) => msg.cancel({ sessionID, reqID })) },
    { weight: 1, arbitrary: id.map((sessionID) => msg.cancel({ sessionID })) },
    { weight: 1, arbitrary: fc.tuple(id, rarely(0, fc.constant(5))).map(([sessionID, errCode]) => msg.close({ sessionID, errCode })) },
    { weight: 3, arbitrary: fc.tuple(id, fc.constantFrom(0, 1, 100_000, 0x7fffffff)).map(([sessionID, bytes]) => msg.update(sessionID, bytes)) },
    { weight: 1, arbitrary: id.map((number) => msg.ping(number)) },
    { weight: 1, arbitrary: id.map((number) => msg.pong(number)) },
    { weight: 1, arbitrary: fc.tuple(id, id, fc.constantFrom(0, 0, 3), fc.constantFrom(0, 1), fc.constantFrom(0, 1, 200_000)).map(([openID, sessionID, errCode, protocolMinor, window]) => msg.ack({ openID, sessionID, errCode, protocolMinor, window })) },
    { weight: 1, arbitrary: fc.constantFrom(0, 5).map((errCode) => msg.goAway({ errCode })) }
  )
})()

t.test('any messages in any order', async t => {
  const steps = fc.array(fc.record({ message: anyMessage, pause: fc.nat({ max: 3 }), ms: fc.constantFrom(0, 0, 0, 1, 100) }), { minLength: 1, maxLength: 60 })

  await t.test('from a client: the server is never at fault, and nothing is left of it', { timeout: 120_000 }, async t => {
    const seen = new Map<number, number>()
    await fc.assert(fc.asyncProperty(steps, fc.constantFrom(0, 1), fc.option(fc.integer({ min: 1, max: 500 }), { nil: undefined }), async (steps, protocolMinor, split) => {
      const complaints: unknown[] = []
      const clock = new FakeClock()
      const server = new Server({ handshakeTimeoutMs: 0, maxSessionsPerConnection: 4, maxRequestsPerConnection: 2, maxConcurrentRPCs: 3, reassemblyPlaces: 2 }, { clock })
      register(server)
      const [here, there] = memoryPair(split === undefined ? {} : { split })
      const conn = server.connect(here, { log: loggerOf(complaints) })
      const peer = new ScriptedPeer(there)
      for (const kind of [names.sync, names.biDir, names.sync]) peer.send(msg.open({ descr: kind, protocolMinor }))
      for (const { message, pause, ms } of steps) {
        if (message.type === MsgType.Open) message.protocolMinor = protocolMinor
        // A client's own messages, most of the time: others end the connection at once.
        if (message.type === MsgType.OpenAck && steps.length % 7 !== 0) continue
        peer.send(message)
        for (let i = 0; i < pause; i++) await settle(1)
        clock.advance(ms)
      }
      await settle(10)
      for (const { message } of peer.heard) {
        seen.set(message.type, (seen.get(message.type) ?? 0) + 1)
        if (message.type === MsgType.GoAway && message.debugData === 'internal error') throw new Error('a fault of the engine')
        if (protocolMinor === 0 && message.type === MsgType.WindowUpdate) throw new Error('a 1.0 peer got a WindowUpdate')
      }
      there.destroy()
      await conn.closed
      await until(() => server.stats().running === 0, 'the end of all handlers')
      await settle(3)
      if (complaints.length > 0) throw new Error(`the log says ${JSON.stringify(complaints)}`)
      const { sessions, queued } = server.stats()
      if (sessions !== 0 || queued !== 0 || clock.pendingTimers !== 0) throw new Error(`left: ${sessions} sessions, ${queued} queued, ${clock.pendingTimers} timers`)
    }), { numRuns: 400 })
    t.ok([MsgType.OpenAck, MsgType.Payload, MsgType.Close, MsgType.GoAway, MsgType.Pong].every((type) => (seen.get(type) ?? 0) > 0), JSON.stringify([...seen]))
  })

  await t.test('from a server: every call of the client ends, and nothing is left of it', { timeout: 120_000 }, async t => {
    let answered = 0
    await fc.assert(fc.asyncProperty(steps, fc.constantFrom(0, 1), async (steps, protocolMinor) => {
      const clock = new FakeClock()
      const [here, there] = memoryPair()
      const client = new Client(here, { keepAliveIntervalMs: 0 }, clock)
      const peer = new ScriptedPeer(there)
      const calls = [
        watch(client.sync('p', 'S', 'Sync').call(text('a'))),
        watch(client.sync('p', 'S', 'Sync').call(text('b'), { timeoutMs: 150 })),
        watch(client.biDir('p', 'S', 'BiDir').ended),
        watch((async () => { for await (const bytes of client.recv('p', 'S', 'Recv', { request: text('r') })) if (bytes.byteLength > 1e9) break })()),
        watch((async () => {
          const stream = client.send('p', 'S', 'Send')
          await stream.send(new Uint8Array(100_000))
          return await stream.close()
        })())
      ]
      await settle(1)
      let sessionID = 0
      for (const { message, pause, ms } of steps) {
        if (message.type === MsgType.Open && steps.length % 7 !== 0) continue
        // A good acknowledgement now and then, or nothing would ever begin.
        const open = peer.all('open').at(sessionID)
        if (pause === 0 && open !== undefined) peer.send(msg.ack({ openID: open.openID, sessionID: ++sessionID, protocolMinor, window: 200_000 }))
        peer.send(message)
        for (let i = 0; i < pause; i++) await settle(1)
        clock.advance(ms)
      }
      await settle(10)
      answered += calls.filter((call) => call.isSettled).length
      there.destroy()
      await until(() => calls.every((call) => call.isSettled), 'the end of all calls')
      await client.closed
      if (client.running !== 0 || clock.pendingTimers !== 0) throw new Error(`left: ${client.running} calls, ${clock.pendingTimers} timers`)
      for (const { error } of calls) if (error !== undefined && !RpcError.is(error)) throw error
    }), { numRuns: 400 })
    t.ok(answered > 100, `${answered} calls ended before the connection did`)
  })
})

t.test('any bytes', async t => {
  await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 100 }), { minLength: 1, maxLength: 5 }), async (chunks) => {
    const complaints: unknown[] = []
    const server = new Server({ handshakeTimeoutMs: 0 })
    const [here, there] = memoryPair()
    const conn = server.connect(here, { log: loggerOf(complaints) })
    const peer = new ScriptedPeer(there)
    for (const chunk of chunks) peer.sendBytes(chunk)
    await settle(3)
    there.destroy()
    await conn.closed
    return complaints.length === 0
  }), { numRuns: 300 })

  await t.test('and good conversations with a few bytes changed', async t => {
    const conversation = Buffer.concat([
      msg.open({ descr: names.sync, first: msg.first({ reqID: 1, payload: text('x') }), metadata: [{ key: 'k', value: text('v') }] }),
      msg.payload({ reqID: 2, payload: text('throw') }), msg.payload({ reqID: 3, payload: new Uint8Array(5000), more: true }), msg.payload({ reqID: 3 }),
      msg.open({ openID: 2, descr: names.biDir }), msg.payload({ sessionID: 2, payload: text('y') }), msg.update(2, 5), msg.payload({ sessionID: 2, endStream: true }),
      msg.cancel({ reqID: 2 }), msg.ping(1), msg.close()
    ].map(frameOf))
    let ended = 0
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat({ max: conversation.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }), async (changes) => {
      const complaints: unknown[] = []
      const server = new Server({ handshakeTimeoutMs: 0 })
      register(server)
      const [here, there] = memoryPair()
      const conn = server.connect(here, { log: loggerOf(complaints) })
      const peer = new ScriptedPeer(there)
      const bytes = new Uint8Array(conversation)
      for (const [at, value] of changes) bytes[at] = value
      peer.sendBytes(bytes)
      await settle(5)
      if (peer.isClosed) ended++
      there.destroy()
      await conn.closed
      await until(() => server.stats().running === 0)
      return complaints.length === 0
    }), { numRuns: 500 })
    t.ok(ended > 50, `${ended} were found out`)
  })
})

t.test('no rejection was left alone', async t => {
  await settle()
  t.same(unhandled, [])
})
