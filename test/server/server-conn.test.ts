// One client connection of a server: drain, keepalive, the ends of idle ones.
import t from 'tap'
import type { Test } from 'tap'
import { Category, ErrorCode } from '../../lib/errors.js'
import { BiDirHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { memoryPair } from '../../lib/transport/memory.js'
import type { ServerOptions } from '../../types/options.js'
import type { Transport } from '../../types/transport.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { ScriptedPeer, attach, deferred, msg, names, scriptedClient, settle, str, text, until, watch } from '../helpers/scripted-peer.js'
import type { ScriptedClient } from '../helpers/scripted-peer.js'

interface SetUp extends ScriptedClient { answers: Map<string, (bytes: Uint8Array) => void> }

function setUp (t: Test, options: ServerOptions = {}): SetUp {
  const answers = new Map<string, (bytes: Uint8Array) => void>()
  const set = scriptedClient(t, { keepAliveIntervalMs: 0, handshakeTimeoutMs: 0, ...options }, (server) => {
    server.register('p', 'S', 'Sync', new SyncHandler((_context, bytes) => {
      const { promise, resolve } = deferred<Uint8Array>()
      answers.set(str(bytes), resolve)
      return promise
    }))
    server.register('p', 'S', 'BiDir', new BiDirHandler((context) => new Promise((resolve) => { context.signal.addEventListener('abort', () => { resolve() }) })))
  })
  return { ...set, answers }
}

const openSync = (fields: Parameters<typeof msg.open>[0] = {}): ReturnType<typeof msg.open> => msg.open({ descr: names.sync, ...fields })

t.test('drain', async t => {
  await t.test('of a 1.1 client: GoAway first, what runs may finish, then the client closes', async t => {
    const { peer, conn, answers, clock } = setUp(t)
    peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }), openSync({ openID: 2 }))
    await peer.expect('openAck')
    await peer.expect('openAck')
    const done = watch(conn.gracefulClose())
    await peer.expect('goAway', { errCode: 0, lastSessionID: 2 })
    clock.advance(499)
    await peer.expectSilence()
    clock.advance(1)
    await peer.expect('close', { sessionID: 2, errCode: Category.Unavailable })
    t.ok(conn.isDraining)
    peer.send(openSync({ openID: 3, first: msg.first({ reqID: 1, payload: text('never') }) }))
    await peer.expect('openAck', { openID: 3, sessionID: 0, errCode: Category.Unavailable })
    t.notOk(answers.has('never'))
    answers.get('a')?.(text('A'))
    await peer.expect('payload', { reqID: 1, payload: text('A') })
    await peer.expect('close', { sessionID: 1, errCode: Category.Unavailable })
    t.notOk(done.isSettled, 'the client closes by itself')
    peer.transport.close()
    await until(() => done.isSettled)
    t.equal(done.value, true)
  })

  await t.test('loses no request that was said before the GoAway was heard', async t => {
    const { peer, conn, answers, clock } = setUp(t)
    peer.send(openSync())
    await peer.expect('openAck')
    const done = watch(conn.gracefulClose())
    await peer.expect('goAway')
    peer.send(msg.payload({ reqID: 1, payload: text('a') }), msg.payload({ reqID: 2, payload: text('b') }))
    await until(() => answers.has('b'))
    answers.get('a')?.(text('A'))
    await peer.expect('payload', { reqID: 1, payload: text('A') })
    clock.advance(10_000)
    await peer.expectSilence()
    answers.get('b')?.(text('B'))
    await peer.expect('payload', { reqID: 2, payload: text('B') })
    await peer.expect('close', { errCode: Category.Unavailable })
    peer.transport.close()
    await until(() => done.isSettled)
    t.equal(done.value, true)
    t.equal(clock.pendingTimers, 0)
  })

  await t.test('of a 1.1 client that does not close', async t => {
    const { peer, conn, clock } = setUp(t)
    peer.send(openSync())
    await peer.expect('openAck')
    const done = watch(conn.gracefulClose())
    await peer.expect('goAway')
    clock.advance(500)
    await peer.expect('close')
    await settle()
    clock.advance(499)
    await settle()
    t.notOk(done.isSettled)
    clock.advance(1)
    await peer.expectEnd()
    await until(() => done.isSettled)
    t.equal(done.value, true)
    t.equal(clock.pendingTimers, 0)
  })

  await t.test('of a 1.0 client: GoAway last', async t => {
    const { peer, conn, answers } = setUp(t)
    peer.send(openSync({ protocolMinor: 0 }), msg.payload({ payload: text('a') }), openSync({ openID: 2 }))
    await peer.expect('openAck')
    await peer.expect('openAck')
    const done = watch(conn.gracefulClose())
    await peer.expect('close', { sessionID: 2, errCode: Category.Unavailable })
    peer.send(openSync({ openID: 3 }))
    await peer.expect('openAck', { openID: 3, errCode: Category.Unavailable })
    answers.get('a')?.(text('A'))
    await peer.expect('payload')
    await peer.expect('close', { sessionID: 1 })
    await peer.expect('goAway')
    await peer.expectEnd()
    await until(() => done.isSettled)
    t.equal(done.value, true)
  })

  for (const protocolMinor of [0, 1]) {
    await t.test(`out of patience: what runs is told, then the connection closes (1.${protocolMinor})`, async t => {
      const { peer, conn, answers } = setUp(t)
      peer.send(openSync({ protocolMinor }), msg.payload({ reqID: 1, payload: text('a') }), msg.open({ openID: 2, descr: names.biDir }))
      await peer.expect('openAck')
      await peer.expect('openAck')
      const controller = new AbortController()
      const done = watch(conn.gracefulClose({ signal: controller.signal }))
      if (protocolMinor === 1) await peer.expect('goAway')
      await peer.expectSilence()
      controller.abort()
      if (protocolMinor === 0) await peer.expect('close', { sessionID: 1, errCode: Category.Unavailable })
      await peer.expect('close', { sessionID: 2, errCode: Category.Unavailable })
      if (protocolMinor === 1) {
        await peer.expect('payload', { reqID: 1, errCode: Category.Unavailable })
        await peer.expect('close', { sessionID: 1, errCode: Category.Unavailable })
      }
      if (protocolMinor === 0) await peer.expect('goAway')
      await peer.expectEnd()
      await until(() => done.isSettled)
      t.equal(done.value, false)
      answers.get('a')?.(text('too late'))
    })
  }

  await t.test('asked for twice ends for both', async t => {
    const { peer, conn, answers, clock } = setUp(t)
    peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }))
    await peer.expect('openAck')
    const waits = [watch(conn.gracefulClose()), watch(conn.gracefulClose())]
    await peer.expect('goAway')
    clock.advance(500)
    await peer.expectSilence()
    answers.get('a')?.(text('A'))
    await peer.expect('payload')
    await peer.expect('close')
    peer.transport.close()
    await until(() => waits.every((wait) => wait.isSettled))
    t.same(waits.map((wait) => wait.value), [true, true])
    t.equal(await conn.gracefulClose(), true, 'and once more when all is over')
  })

  await t.test('asked for again with less patience', async t => {
    const { peer, conn } = setUp(t)
    peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }))
    await peer.expect('openAck')
    const patient = watch(conn.gracefulClose())
    const hasty = watch(conn.gracefulClose({ signal: AbortSignal.abort() }))
    await until(() => patient.isSettled && hasty.isSettled)
    t.equal(hasty.value, false)
  })

  await t.test('ends with the connection', async t => {
    const { peer, conn } = setUp(t)
    peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }))
    await peer.expect('openAck')
    const done = watch(conn.gracefulClose())
    peer.transport.destroy()
    await until(() => done.isSettled)
  })

  await t.test('before any Open: GoAway and end', async t => {
    const { peer, conn } = setUp(t)
    const done = watch(conn.gracefulClose())
    await peer.expect('goAway')
    await peer.expectEnd()
    await until(() => done.isSettled)
  })
})

t.test('close ends everything now', async t => {
  const { peer, conn, answers } = setUp(t)
  peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }), msg.open({ openID: 2, descr: names.biDir }))
  await peer.expect('openAck')
  await peer.expect('openAck')
  const closing = watch(conn.close())
  await peer.expect('close', { sessionID: 2, errCode: Category.Unavailable })
  await peer.expect('payload', { reqID: 1, errCode: Category.Unavailable })
  await peer.expect('close', { sessionID: 1, errCode: Category.Unavailable })
  await peer.expectEnd()
  await until(() => closing.isSettled)
  t.equal(conn.error, undefined)
  answers.get('a')?.(text('too late'))
})

t.test('keepalive', async t => {
  const times = { keepAliveIntervalMs: 30_000, keepAliveTimeoutMs: 10_000 }

  await t.test('a silent 1.1 client is asked, and given up when it does not answer', async t => {
    const { peer, conn, clock } = setUp(t, times)
    peer.send(openSync())
    await peer.expect('openAck')
    clock.advance(29_000)
    await peer.expectSilence()
    clock.advance(1000)
    const ping = await peer.expect('ping')
    t.not(ping.id, 0)
    for (let i = 0; i < 9; i++) clock.advance(1000)
    await peer.expectSilence()
    t.ok(conn.connection.isOpen)
    clock.advance(1000)
    await until(() => conn.error !== undefined)
    t.equal(conn.error?.code, ErrorCode.PING_TIMEOUT)
  })

  await t.test('anything it says is an answer', async t => {
    const { peer, conn, clock } = setUp(t, times)
    peer.send(openSync())
    await peer.expect('openAck')
    for (let i = 0; i < 5; i++) {
      clock.advance(30_000)
      await peer.expect('ping')
      peer.send(i % 2 === 0 ? msg.pong(5) : msg.update(1, 1))
      await settle()
    }
    clock.advance(25_000)
    await peer.expectSilence()
    t.ok(conn.connection.isOpen)
  })

  await t.test('after a long sleep of this process the client still has its time', async t => {
    const { peer, conn, clock } = setUp(t, times)
    peer.send(openSync())
    await peer.expect('openAck')
    // One leap: the timers fire late, all at once.
    const asleep = 3_600_000
    Object.assign(clock, { now: ((now) => () => now() + asleep)(clock.now.bind(clock)) })
    clock.advance(1000)
    await peer.expect('ping')
    clock.advance(2000)
    t.ok(conn.connection.isOpen, 'not given up after one more second')
    peer.send(msg.pong(1))
    await settle()
    clock.advance(20_000)
    t.ok(conn.connection.isOpen)
  })

  await t.test('a 1.0 client is not asked, and never given up for its silence', async t => {
    const { peer, conn, clock } = setUp(t, times)
    peer.send(openSync({ protocolMinor: 0 }))
    await peer.expect('openAck')
    clock.advance(600_000)
    await peer.expectSilence()
    t.ok(conn.connection.isOpen)
  })

  await t.test('the way of the transport is used where there is one', async t => {
    const clock = new FakeClock()
    const server = new Server({ ...times, handshakeTimeoutMs: 0 }, { clock })
    const [here, there] = memoryPair()
    let pings = 0
    let sink: { onAlive? (): void } | undefined
    const transport: Transport = Object.assign(Object.create(here) as Transport, {
      start: (_sink: Parameters<Transport['start']>[0]) => { sink = _sink; here.start(_sink) },
      write: here.write.bind(here),
      close: here.close.bind(here),
      destroy: here.destroy.bind(here),
      pause: here.pause.bind(here),
      resume: here.resume.bind(here),
      ping: () => { pings++ }
    })
    const conn = server.connect(transport)
    const peer = new ScriptedPeer(there)
    peer.send(openSync({ protocolMinor: 0 }))
    await peer.expect('openAck')
    clock.advance(30_000)
    t.equal(pings, 1)
    sink?.onAlive?.()
    clock.advance(29_000)
    t.equal(pings, 1)
    clock.advance(1000)
    t.equal(pings, 2)
    await peer.expectSilence()
    clock.advance(10_000)
    t.notOk(conn.connection.isOpen, 'also toward a 1.0 client')
    await conn.closed
  })

  await t.test('0 asks nobody', async t => {
    const { peer, clock } = setUp(t)
    peer.send(openSync())
    await peer.expect('openAck')
    clock.advance(600_000)
    await peer.expectSilence()
  })

  await t.test('while this side does not read, silence says nothing', async t => {
    const { peer, conn, clock } = setUp(t, { ...times, recvBufferBytes: 64 * 1024, stallTimeoutMs: 0x7fffffff })
    peer.send(openSync({ protocolMinor: 0 }), msg.payload({ payload: text('a') }))
    for (let i = 1; i < 5; i++) peer.send(msg.payload({ reqID: i, payload: new Uint8Array(30_000) }))
    await settle()
    t.ok(conn.connection.isPaused)
    peer.ignored.add('pong')
    clock.advance(600_000)
    t.ok(conn.connection.isOpen)
  })
})

t.test('a connection that opens no session in time is closed', async t => {
  const { peer, conn, clock } = setUp(t, { handshakeTimeoutMs: 10_000 })
  peer.send(openSync({ descr: { ...names.sync, call: 'Missing' } }))
  await peer.expect('openAck')
  clock.advance(9000)
  await peer.expectSilence()
  clock.advance(1000)
  await peer.expect('goAway')
  await peer.expectEnd()
  await conn.closed
  t.equal(conn.error?.code, ErrorCode.HANDSHAKE_TIMEOUT)
})

t.test('one that pings has shown that it speaks the protocol', async t => {
  const { peer, conn, clock } = setUp(t, { handshakeTimeoutMs: 10_000 })
  peer.send(msg.ping(1))
  await peer.expect('pong')
  clock.advance(60_000)
  await peer.expectSilence()
  t.ok(conn.connection.isOpen)
})

t.test('half a frame, then nothing', async t => {
  const { peer, conn, clock } = setUp(t, { handshakeTimeoutMs: 10_000 })
  peer.sendBytes(new Uint8Array([0, 0, 0x0e, 0x40]))
  await settle()
  clock.advance(10_000)
  await peer.expect('goAway')
  await conn.closed
})

t.test('a connection on which nothing runs for too long is closed', async t => {
  const idle = async ({ peer, conn }: ReturnType<typeof setUp>): Promise<void> => {
    await peer.expect('goAway', { debugData: 'the connection was idle for too long' })
    await conn.closed
    t.equal(conn.error?.code, ErrorCode.IDLE_TIMEOUT)
  }

  await t.test('without a session: to the millisecond', async t => {
    const set = setUp(t, { idleTimeoutMs: 60_000 })
    set.peer.send(openSync())
    await set.peer.expect('openAck')
    set.peer.send(msg.close())
    await settle()
    set.clock.advance(59_000)
    await set.peer.expectSilence()
    set.clock.advance(1000)
    await idle(set)
  })

  await t.test('with a synchronous session that is kept for later requests, each of which begins the time anew', async t => {
    const set = setUp(t, { idleTimeoutMs: 60_000 })
    const { peer, clock, answers } = set
    peer.send(openSync())
    await peer.expect('openAck')
    for (const reqID of [1, 2]) {
      clock.advance(59_000)
      peer.send(msg.payload({ reqID, payload: text('a') }))
      await settle()
      clock.advance(300_000)
      await peer.expectSilence()
      answers.get('a')?.(new Uint8Array(1))
      await peer.expect('payload', { reqID })
    }
    clock.advance(59_000)
    await peer.expectSilence()
    for (let i = 0; i < 2; i++) {
      clock.advance(1000)
      await settle()
    }
    await idle(set)
  })

  await t.test('sessions that come and go count, whatever was said on them', async t => {
    const set = setUp(t, { idleTimeoutMs: 60_000 })
    const { peer, clock, answers } = set
    peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }))
    await peer.expect('openAck')
    answers.get('a')?.(new Uint8Array(1))
    await peer.expect('payload')
    clock.advance(31_000)
    peer.send(msg.close())
    await settle()
    clock.advance(50_000)
    peer.send(openSync({ openID: 2 }))
    await peer.expect('openAck')
    clock.advance(59_000)
    await peer.expectSilence()
    clock.advance(1000)
    await idle(set)
  })

  await t.test('but not while a request is still coming', async t => {
    const { peer, clock } = setUp(t, { idleTimeoutMs: 60_000, keepAliveIntervalMs: 0 })
    peer.send(openSync())
    await peer.expect('openAck')
    for (let i = 0; i < 10; i++) {
      peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(5000), more: true }))
      await peer.expectSilence()
      clock.advance(10_000)
    }
    await peer.expectSilence()
  })

  await t.test('nor while an answer waits to be taken', async t => {
    const { peer, clock, answers } = setUp(t, { idleTimeoutMs: 60_000, keepAliveIntervalMs: 0 })
    peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }))
    await peer.expect('openAck')
    answers.get('a')?.(new Uint8Array(1 << 20))
    await settle()
    for (let i = 0; i < 10; i++) {
      clock.advance(10_000)
      peer.send(msg.update(1, 66_000))
      await settle()
    }
    t.equal(peer.all('goAway').length, 0)
    t.ok(peer.all('payload').length > 10)
  })

  await t.test('but not while a stream is open', async t => {
    const { peer, clock } = setUp(t, { idleTimeoutMs: 60_000 })
    peer.send(openSync(), msg.open({ openID: 2, descr: names.biDir }))
    await peer.expect('openAck')
    await peer.expect('openAck')
    clock.advance(300_000)
    await peer.expectSilence()
  })
})

t.test('packing', async t => {
  await t.test('is granted to the first session, and everything after its OpenAck is packed', async t => {
    const { peer, answers } = setUp(t, { packing: true })
    peer.send(openSync({ packing: true }))
    await peer.expect('openAck', { packing: true })
    peer.startPacking()
    peer.send(msg.payload({ reqID: 1, payload: text('a') }), openSync({ openID: 2 }))
    await peer.expect('openAck', { openID: 2, packing: true })
    answers.get('a')?.(new Uint8Array(10_000))
    const { payload } = await peer.expect('payload', { reqID: 1 })
    t.equal(payload.byteLength, 10_000)
    t.ok((peer.bytes.at(-1)?.byteLength ?? Infinity) < 1000, 'ten thousand zeros are few bytes')
  })

  await t.test('an Open that a Go client sent plain is understood', async t => {
    const { peer } = setUp(t, { packing: true })
    peer.agreesToPack = true
    peer.send(openSync({ packing: true }), openSync({ openID: 2, packing: true }))
    await peer.expect('openAck', { openID: 1, packing: true })
    await peer.expect('openAck', { openID: 2, packing: true })
  })

  await t.test('is not granted where it is off, nor later', async t => {
    const off = setUp(t)
    off.peer.send(openSync({ packing: true }))
    await off.peer.expect('openAck', { packing: false })
    const late = setUp(t, { packing: true })
    late.peer.send(openSync(), openSync({ openID: 2, packing: true }))
    await late.peer.expect('openAck', { packing: false })
    await late.peer.expect('openAck', { packing: false })
  })
})

t.test('server', async t => {
  await t.test('refuses connections beyond maxConnections and while it drains', async t => {
    const clock = new FakeClock()
    const server = new Server({ maxConnections: 1 }, { clock })
    const { conn } = attach(t, server)
    const [here] = memoryPair()
    t.throws(() => { server.connect(here) }, { code: ErrorCode.TOO_MANY_CONNECTIONS, category: Category.ResourceExhausted })
    t.equal(server.refusal?.code, ErrorCode.TOO_MANY_CONNECTIONS)
    await conn.close()
    t.equal(server.refusal, undefined)
    t.equal(clock.pendingTimers, 0, 'no timer without connections')
    t.equal(await server.shutdown(), true)
    const outcome = watch(server.serve(memoryPair()[0]))
    await settle()
    t.equal(outcome.error?.code, ErrorCode.CLOSED)
    t.ok(server.isDraining)
  })

  await t.test('serve resolves after a good end and rejects with the loss', async t => {
    const server = new Server()
    const [one, two] = [memoryPair(), memoryPair()]
    const serving = [watch(server.serve(one[0])), watch(server.serve(two[0]))]
    const peers = [new ScriptedPeer(one[1]), new ScriptedPeer(two[1])]
    peers[0]?.transport.close()
    peers[1]?.transport.destroy()
    await until(() => serving.every((outcome) => outcome.isSettled))
    t.equal(serving[0]?.error, undefined)
    t.equal(serving[1]?.error?.code, ErrorCode.CONNECTION_LOST)
  })

  await t.test('a signal ends a connection at once', async t => {
    const server = new Server()
    const controller = new AbortController()
    const [here, there] = memoryPair()
    const serving = watch(server.serve(here, { signal: controller.signal }))
    const peer = new ScriptedPeer(there)
    await settle()
    controller.abort()
    await until(() => serving.isSettled)
    t.equal(serving.error?.code, ErrorCode.CLOSED)
    await peer.expectEnd()
    const aborted = watch(server.serve(memoryPair()[0], { signal: AbortSignal.abort() }))
    await until(() => aborted.isSettled)
    t.equal(aborted.error?.code, ErrorCode.CLOSED)
    t.equal(server.connections.size, 0)
  })

  await t.test('shutdown ends all connections, asked for more than once', async t => {
    const { server, peer, answers, clock } = setUp(t)
    const other = attach(t, server)
    peer.send(openSync(), msg.payload({ reqID: 1, payload: text('a') }))
    await peer.expect('openAck')
    const shutdowns = [watch(server.shutdown()), watch(server.shutdown())]
    await other.peer.expectEnd()
    await peer.expect('goAway')
    clock.advance(500)
    await peer.expectSilence()
    answers.get('a')?.(text('A'))
    await peer.expect('payload')
    await peer.expect('close')
    await settle()
    clock.advance(500)
    await until(() => shutdowns.every((outcome) => outcome.isSettled))
    t.same(shutdowns.map((outcome) => outcome.value), [true, true])
    t.equal(server.connections.size, 0)
  })

  await t.test('a session number cannot wrap', async t => {
    const { peer, conn } = setUp(t)
    conn.connection.highestSessionID = 0xfffffffe
    peer.send(openSync())
    await peer.expect('openAck', { sessionID: 0xffffffff, errCode: 0 })
    peer.send(openSync({ openID: 2 }))
    await peer.expect('goAway', { lastSessionID: 0xffffffff })
    await peer.expect('openAck', { openID: 2, errCode: Category.Unavailable })
  })

  await t.test('wrong options are told', t => {
    t.throws(() => new Server({ windowBytes: 1 }), { code: ErrorCode.OPTION_INVALID })
    t.throws(() => new Server({ nonsense: 1 } as ServerOptions), { code: ErrorCode.OPTION_INVALID })
    t.end()
  })
})
