// Requests of synchronous sessions: concurrent with an outcome each (1.1), one after another (1.0).
import t from 'tap'
import type { Test } from 'tap'
import { Category, RpcError } from '../../lib/errors.js'
import { SyncHandler } from '../../lib/server/handlers.js'
import type { Server } from '../../lib/server/server.js'
import type { Open } from '../../lib/wire/message.js'
import type { HandlerContext } from '../../types/handler-context.js'
import type { ServerOptions } from '../../types/options.js'
import { deferred, msg, names, scriptedClient, settle, str, text, until } from '../helpers/scripted-peer.js'
import type { ScriptedClient } from '../helpers/scripted-peer.js'

interface Running {
  context: HandlerContext
  request: string
  answer: (bytes: Uint8Array) => void
  fail: (error: unknown) => void
}

interface SetUp extends ScriptedClient {
  /** Handlers that run, by their request. */
  running: Map<string, Running>
  order: string[]
  /** Answers a request with its own text. */
  answer: (request: string) => void
}

const openSync = (fields: Parameters<typeof msg.open>[0] = {}): Open => msg.open({ descr: names.sync, ...fields })
const request = (reqID: number, content = `r${reqID}`): ReturnType<typeof msg.payload> => msg.payload({ reqID, payload: text(content) })

async function setUp (t: Test, { minor = 1, open = {}, ...options }: ServerOptions & { minor?: 0 | 1, open?: Parameters<typeof msg.open>[0] } = {}): Promise<SetUp> {
  const running = new Map<string, Running>()
  const order: string[] = []
  const register = (server: Server): void => {
    server.register('p', 'S', 'Sync', new SyncHandler((context, bytes) => {
      const { promise, resolve, reject } = deferred<Uint8Array>()
      order.push(str(bytes))
      running.set(str(bytes), { context, request: str(bytes), answer: resolve, fail: reject })
      return promise
    }))
  }
  const set = scriptedClient(t, { keepAliveIntervalMs: 0, ...options }, register)
  set.peer.send(openSync({ protocolMinor: minor, ...open }))
  await set.peer.expect('openAck', { errCode: 0 })
  return { ...set, running, order, answer: (name) => { running.get(name)?.answer(text(name)) } }
}

t.test('1.1', async t => {
  await t.test('requests run concurrently and are answered in any order', async t => {
    const { peer, order, answer } = await setUp(t)
    peer.send(request(1), request(2), request(3))
    await until(() => order.length === 3)
    answer('r3')
    await peer.expect('payload', { reqID: 3, payload: text('r3'), errCode: 0 })
    answer('r1')
    answer('r2')
    await peer.expect('payload', { reqID: 1 })
    await peer.expect('payload', { reqID: 2 })
  })

  await t.test('an error is the outcome of its request, the session lives on', async t => {
    const { peer, running, answer } = await setUp(t)
    peer.send(request(1), request(2), request(3))
    await until(() => running.size === 3)
    running.get('r2')?.fail(new RpcError(Category.NotFound, 'no such row', { metadata: { row: '7' } }))
    const failed = await peer.expect('payload', { reqID: 2, errCode: Category.NotFound, error: 'no such row' })
    t.equal(failed.metadata[0]?.key, 'row')
    running.get('r3')?.fail(new Error('secret'))
    const foreign = await peer.expect('payload', { reqID: 3, errCode: Category.Internal })
    t.notMatch(foreign.error, /secret/)
    answer('r1')
    await peer.expect('payload', { reqID: 1, errCode: 0 })
  })

  await t.test('what a handler may do wrong is a failure of its request alone', async t => {
    const wrong: Record<string, () => Uint8Array | Promise<Uint8Array>> = {
      throws: () => { throw new Error('at once') },
      'throws nothing': () => { throw undefined }, // eslint-disable-line no-throw-literal, @typescript-eslint/only-throw-error
      'rejects with nothing': () => Promise.reject(undefined), // eslint-disable-line prefer-promise-reject-errors
      'answers nothing': () => undefined as unknown as Uint8Array,
      'answers text': () => 'text' as unknown as Uint8Array,
      'resolves with text': () => Promise.resolve('text' as unknown as Uint8Array),
      'answers too much': () => new Uint8Array(2000)
    }
    const { peer } = scriptedClient(t, { maxSendMsgSize: 1000 }, (server) => {
      server.register('p', 'S', 'Sync', new SyncHandler((_context, bytes) => wrong[str(bytes)]?.() ?? text('ok')))
    })
    peer.send(openSync())
    await peer.expect('openAck')
    let reqID = 0
    for (const name of Object.keys(wrong)) {
      const errCode = name === 'answers nothing' ? 0 : name === 'answers too much' ? Category.ResourceExhausted : Category.Internal
      peer.send(request(++reqID, name))
      await peer.expect('payload', { reqID, errCode })
    }
    peer.send(request(++reqID, 'fine'))
    await peer.expect('payload', { reqID, payload: text('ok') })
  })

  await t.test('trailers of a handler stand on its answer; too large ones fail it', async t => {
    const { peer } = scriptedClient(t, {}, (server) => {
      server.register('p', 'S', 'Sync', new SyncHandler((context, bytes) => {
        context.setTrailer({ size: new Uint8Array(bytes.byteLength) })
        return text('ok')
      }))
    })
    peer.send(openSync())
    await peer.expect('openAck')
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(10) }), msg.payload({ reqID: 2, payload: new Uint8Array(20_000) }))
    const { metadata } = await peer.expect('payload', { reqID: 1, errCode: 0 })
    t.equal(metadata[0]?.value.byteLength, 10)
    await peer.expect('payload', { reqID: 2, errCode: Category.ResourceExhausted })
  })

  await t.test('request metadata overlay those of the Open', async t => {
    const { peer, running } = await setUp(t, { open: { metadata: [{ key: 'A', value: text('open') }, { key: 'b', value: text('open') }] } })
    peer.send(msg.payload({ reqID: 1, payload: text('r1'), metadata: [{ key: 'a', value: text('request') }] }), request(2))
    await until(() => running.size === 2)
    t.same(running.get('r1')?.context.metadata.toObject(), { a: 'request', b: 'open' })
    t.same(running.get('r2')?.context.metadata.toObject(), { a: 'open', b: 'open' })
  })

  await t.test('ReqIDs may be used again once they are answered, and not before', async t => {
    const { peer, running, answer } = await setUp(t)
    peer.send(request(5, 'one'))
    await until(() => running.has('one'))
    answer('one')
    await peer.expect('payload', { reqID: 5 })
    peer.send(request(5, 'two'))
    await until(() => running.has('two'))
    peer.send(request(5, 'three'))
    await peer.expect('close', { sessionID: 1, errCode: Category.InvalidArgument })
    t.ok(running.get('two')?.context.signal.aborted)
    t.notOk(running.has('three'))
  })

  await t.test('ReqID 0 is an error of the session, also of a message that is too large', async t => {
    for (const payload of [text('x'), new Uint8Array(2000)]) {
      const { peer } = await setUp(t, { maxRecvMsgSize: 1000 })
      peer.send(msg.payload({ payload }))
      await peer.expect('close', { errCode: Category.InvalidArgument })
    }
  })

  await t.test('an ErrCode from a client is an error of the session', async t => {
    const { peer } = await setUp(t)
    peer.send(msg.payload({ reqID: 1, errCode: 3 }))
    await peer.expect('close', { errCode: Category.InvalidArgument })
  })

  await t.test('an ErrCode that ends the chunks of a request is one too', async t => {
    const { peer } = await setUp(t)
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(5000), more: true }), msg.payload({ reqID: 1, errCode: 3 }))
    await peer.expect('close', { errCode: Category.InvalidArgument })
  })

  await t.test('a request that is too large is answered, the next is served', async t => {
    const { peer, running, answer } = await setUp(t, { maxRecvMsgSize: 10_000 })
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(10_001) }))
    await peer.expect('payload', { reqID: 1, errCode: Category.ResourceExhausted })
    peer.send(
      msg.payload({ reqID: 2, payload: new Uint8Array(6000), more: true }),
      msg.payload({ reqID: 2, payload: new Uint8Array(6000), more: true }),
      msg.payload({ reqID: 2, payload: new Uint8Array(6000), more: true }),
      msg.payload({ reqID: 2, payload: new Uint8Array(1) }),
      request(3)
    )
    await peer.expect('payload', { reqID: 2, errCode: Category.ResourceExhausted })
    await until(() => running.has('r3'))
    answer('r3')
    await peer.expect('payload', { reqID: 3, errCode: 0 })
  })

  await t.test('a request with content that cannot be decompressed fails alone', async t => {
    const { peer, running } = await setUp(t)
    peer.send(msg.payload({ reqID: 1, payload: text('x'), compression: 77 }), request(2))
    await peer.expect('payload', { reqID: 1, errCode: Category.Unimplemented })
    await until(() => running.has('r2'))
  })

  await t.test('an empty answer is an answer', async t => {
    const { peer, running } = await setUp(t)
    peer.send(request(1))
    await until(() => running.has('r1'))
    running.get('r1')?.answer(new Uint8Array(0))
    await peer.expect('payload', { reqID: 1, errCode: 0, payload: new Uint8Array(0) })
  })

  await t.test('Cancel', async t => {
    await t.test('of one request: its answer is code 1, its handler is told, the others go on', async t => {
      const { peer, running, answer } = await setUp(t)
      peer.send(request(1), request(2))
      await until(() => running.size === 2)
      peer.send(msg.cancel({ reqID: 1 }))
      await peer.expect('payload', { reqID: 1, errCode: Category.Canceled })
      const signal = running.get('r1')?.context.signal
      t.ok(signal?.aborted)
      t.equal((signal?.reason as RpcError).category, Category.Canceled)
      answer('r1')
      await peer.expectSilence()
      answer('r2')
      await peer.expect('payload', { reqID: 2, errCode: 0 })
    })

    await t.test('of an unknown or answered one is ignored', async t => {
      const { peer, running, answer } = await setUp(t)
      peer.send(request(1))
      await until(() => running.size === 1)
      answer('r1')
      await peer.expect('payload', { reqID: 1 })
      peer.send(msg.cancel({ reqID: 1 }), msg.cancel({ reqID: 99 }))
      await peer.expectSilence()
    })

    await t.test('of the session: no answer, one Close of code 1', async t => {
      const { peer, running, answer, conn } = await setUp(t)
      peer.send(request(1), request(2))
      await until(() => running.size === 2)
      peer.send(msg.cancel())
      await peer.expect('close', { errCode: Category.Canceled })
      t.ok(running.get('r1')?.context.signal.aborted && running.get('r2')?.context.signal.aborted)
      answer('r1')
      peer.send(msg.cancel())
      await peer.expectSilence()
      t.equal(conn.sessionCount, 0)
    })

    await t.test('of a request whose chunks were coming: it is answered like any other, the number free', async t => {
      const { peer, running, order } = await setUp(t)
      peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(5000), more: true }), msg.cancel({ reqID: 1 }))
      await peer.expect('payload', { reqID: 1, errCode: Category.Canceled })
      peer.send(msg.cancel({ reqID: 1 }), request(1, 'again'))
      await until(() => running.has('again'))
      t.same(order, ['again'])
      await peer.expectSilence()
    })

    await t.test('of chunks under a number that is in use is an error of the session', async t => {
      const { peer } = await setUp(t)
      peer.send(request(1), msg.payload({ reqID: 1, payload: new Uint8Array(5000), more: true }), msg.cancel({ reqID: 1 }))
      await peer.expect('close', { errCode: Category.InvalidArgument })
      peer.send(msg.ping(1))
      await peer.expect('pong')
    })
  })

  await t.test('Close of the client: nothing is answered, the handlers are told', async t => {
    const { peer, running, answer, conn } = await setUp(t)
    peer.send(request(1))
    await until(() => running.size === 1)
    peer.send(msg.close())
    await settle()
    t.ok(running.get('r1')?.context.signal.aborted)
    answer('r1')
    await peer.expectSilence()
    t.equal(conn.sessionCount, 0)
  })

  await t.test('deadlines', async t => {
    await t.test('of a request: the server answers with 4 and tells the handler', async t => {
      const { peer, running, clock, answer } = await setUp(t)
      peer.send(msg.payload({ reqID: 1, payload: text('r1'), deadlineMS: 500n }), request(2))
      await until(() => running.size === 2)
      t.ok(running.get('r1')?.context.deadline instanceof Date)
      t.equal(running.get('r2')?.context.deadline, undefined)
      clock.advance(499)
      await peer.expectSilence()
      clock.advance(1)
      await peer.expect('payload', { reqID: 1, errCode: Category.DeadlineExceeded })
      t.equal((running.get('r1')?.context.signal.reason as RpcError).category, Category.DeadlineExceeded)
      answer('r1')
      answer('r2')
      await peer.expect('payload', { reqID: 2, errCode: 0 })
      await peer.expectSilence()
    })

    await t.test('of the session: all unanswered get 4, then Close 4', async t => {
      const { peer, running, clock } = await setUp(t, { open: { deadlineMS: 1000n } })
      peer.send(request(1), msg.payload({ reqID: 2, payload: text('r2'), deadlineMS: 400n }), request(3))
      await until(() => running.size === 3)
      clock.advance(400)
      await peer.expect('payload', { reqID: 2, errCode: Category.DeadlineExceeded })
      clock.advance(600)
      await peer.expect('payload', { reqID: 1, errCode: Category.DeadlineExceeded })
      await peer.expect('payload', { reqID: 3, errCode: Category.DeadlineExceeded })
      await peer.expect('close', { errCode: Category.DeadlineExceeded })
      t.ok(running.get('r3')?.context.signal.aborted)
    })

    await t.test('of the session cuts answers that wait for credit', async t => {
      const { peer, running, clock } = await setUp(t, { open: { deadlineMS: 1000n, window: 128 * 1024 } })
      peer.send(request(1), request(2))
      await until(() => running.size === 2)
      running.get('r1')?.answer(new Uint8Array(300_000))
      await peer.expect('payload', { reqID: 1, more: true })
      await peer.expect('payload', { reqID: 1, more: true })
      await peer.expectSilence()
      clock.advance(1000)
      await peer.expect('payload', { reqID: 2, errCode: Category.DeadlineExceeded })
      await peer.expect('payload', { reqID: 1, errCode: Category.DeadlineExceeded, more: false })
      await peer.expect('close', { errCode: Category.DeadlineExceeded })
    })

    await t.test('the cap of the server counts too', async t => {
      const { peer, running, clock } = await setUp(t, { maxDeadlineMs: 100 })
      peer.send(request(1))
      await until(() => running.size === 1)
      clock.advance(100)
      await peer.expect('payload', { reqID: 1, errCode: Category.DeadlineExceeded })
    })

    await t.test('leave no timer behind', async t => {
      const { peer, running, clock, answer } = await setUp(t, { open: { deadlineMS: 1000n } })
      const before = clock.pendingTimers
      peer.send(msg.payload({ reqID: 1, payload: text('r1'), deadlineMS: 500n }))
      await until(() => running.size === 1)
      t.equal(clock.pendingTimers, before + 1)
      answer('r1')
      await peer.expect('payload')
      t.equal(clock.pendingTimers, before)
      peer.send(msg.close())
      await settle()
      t.equal(clock.pendingTimers, before - 1)
    })
  })

  await t.test('limits', async t => {
    await t.test('beyond maxRequestsPerConnection requests wait uncredited, in order', async t => {
      const { peer, running, order, answer, conn } = await setUp(t, { maxRequestsPerConnection: 2, windowBytes: 128 * 1024 })
      const [session] = conn.connection.sessions
      for (let i = 1; i <= 4; i++) peer.send(msg.payload({ reqID: i, payload: text(`r${i}`.padEnd(20_000)) }))
      await settle()
      t.equal(order.length, 2)
      const held = 128 * 1024 - (session?.peerCredit ?? 0)
      t.ok(held > 80_000, 'nothing is credited below half a window')
      const [first, second] = order as [string, string]
      answer(first)
      await peer.expect('payload', { reqID: 1 })
      t.equal(order.length, 3)
      answer(second)
      await settle()
      t.same(order.map((name) => name.trim()), ['r1', 'r2', 'r3', 'r4'])
      t.ok(running.size === 4)
    })

    await t.test('beyond maxConcurrentRPCs they wait, beyond maxQueuedRPCs they fail', async t => {
      const { peer, order, answer } = await setUp(t, { maxConcurrentRPCs: 1, maxQueuedRPCs: 1 })
      peer.send(request(1), request(2), request(3))
      await peer.expect('payload', { reqID: 3, errCode: Category.ResourceExhausted })
      t.same(order, ['r1'])
      answer('r1')
      await peer.expect('payload', { reqID: 1 })
      t.same(order, ['r1', 'r2'])
    })

    await t.test('a request keeps its place until its handler has returned, also when it was canceled', async t => {
      const { peer, order, running, answer } = await setUp(t, { maxRequestsPerConnection: 1 })
      peer.send(request(1), request(2), msg.cancel({ reqID: 1 }))
      await peer.expect('payload', { reqID: 1, errCode: Category.Canceled })
      await peer.expectSilence()
      t.same(order, ['r1'])
      answer('r1')
      await until(() => running.has('r2'))
    })

    await t.test('one that is canceled while it waits leaves the line and is credited', async t => {
      const { peer, order, answer, conn } = await setUp(t, { maxRequestsPerConnection: 1, windowBytes: 128 * 1024 })
      const [session] = conn.connection.sessions
      peer.send(request(1))
      for (let i = 2; i < 6; i++) peer.send(msg.payload({ reqID: i, payload: new Uint8Array(25_000) }))
      await settle()
      t.ok((session?.peerCredit ?? 0) < 40_000)
      peer.send(...[2, 3, 4].map((reqID) => msg.cancel({ reqID })))
      for (let i = 2; i < 5; i++) await peer.expect('payload', { reqID: i, errCode: Category.Canceled })
      await peer.expect('windowUpdate')
      peer.send(msg.cancel({ reqID: 5 }), request(6))
      await peer.expect('payload', { reqID: 5 })
      answer('r1')
      await peer.expect('payload', { reqID: 1 })
      await settle()
      t.same(order, ['r1', 'r6'])
    })

    await t.test('a request keeps its place until its answer was handed over', async t => {
      const { peer, order, running, answer } = await setUp(t, { maxRequestsPerConnection: 1, open: { window: 128 * 1024 } })
      peer.send(request(1), request(2))
      await until(() => running.size === 1)
      running.get('r1')?.answer(new Uint8Array(200_000))
      await peer.expect('payload', { more: true })
      await peer.expect('payload', { more: true })
      await peer.expectSilence()
      t.same(order, ['r1'])
      peer.send(msg.update(1, 100_000))
      await peer.expect('payload', { reqID: 1, more: true })
      await peer.expect('payload', { reqID: 1, more: false })
      await until(() => running.has('r2'))
      answer('r2')
      await peer.expect('payload', { reqID: 2 })
    })

    await t.test('also when that answer is a failure', async t => {
      const { peer, order, running, answer } = await setUp(t, { maxRequestsPerConnection: 2, open: { window: 1 << 20 } })
      peer.send(request(1), request(2), request(3))
      await until(() => running.size === 2)
      peer.transport.pause()
      running.get('r1')?.answer(new Uint8Array(400_000))
      await settle()
      // Behind an answer that finds no room; the handler itself is done.
      peer.send(msg.cancel({ reqID: 2 }))
      await settle()
      answer('r2')
      await settle()
      t.same(order, ['r1', 'r2'])
      peer.transport.resume()
      await until(() => order.length === 3)
    })

    await t.test('failures of a peer that does not read are bounded as well', async t => {
      const { peer, clock, conn } = await setUp(t, { maxRequestsPerConnection: 10, windowBytes: 128 * 1024 })
      peer.transport.pause()
      peer.send(...Array.from({ length: 10 }, (_, i) => request(i + 1)))
      await settle()
      // What comes now waits in line and times out there. As long as the answers are not read, nothing is credited.
      const [session] = conn.connection.sessions
      for (let i = 0; i < 100; i++) peer.send(msg.payload({ reqID: 100 + i, payload: new Uint8Array(1000), deadlineMS: 5n }))
      await settle()
      clock.advance(10)
      await settle()
      t.ok((session?.peerCredit ?? 0) >= 0)
      peer.transport.resume()
      await until(() => peer.all('payload').length === 100)
      t.ok(peer.all('payload').every((payload) => payload.errCode === Category.DeadlineExceeded))
    })
  })
})

t.test('1.0', async t => {
  await t.test('requests run one after another, in the order they came', async t => {
    const { peer, order, answer } = await setUp(t, { minor: 0 })
    // A Go client begins at 0.
    peer.send(request(0), request(1), request(2))
    await settle()
    t.same(order, ['r0'])
    answer('r0')
    await peer.expect('payload', { reqID: 0, payload: text('r0') })
    await settle()
    t.same(order, ['r0', 'r1'])
    answer('r1')
    await peer.expect('payload', { reqID: 1 })
    answer('r2')
    await peer.expect('payload', { reqID: 2 })
  })

  await t.test('an error closes the session after a moment; what waits is never started', async t => {
    const { peer, order, running, clock, conn } = await setUp(t, { minor: 0 })
    peer.send(request(0), request(1))
    await settle()
    running.get('r0')?.fail(new RpcError(Category.NotFound, 'no such row'))
    await peer.expectSilence()
    peer.send(request(2))
    await peer.expectSilence()
    clock.advance(5)
    await peer.expect('close', { errCode: Category.NotFound, error: 'no such row' })
    t.same(order, ['r0'], 'also not what came in that moment')
    t.equal(conn.sessionCount, 0)
    await peer.expectSilence()
  })

  await t.test('an answer that is too large closes it too', async t => {
    const { peer, order, running, clock } = await setUp(t, { minor: 0, maxSendMsgSize: 100 })
    peer.send(request(0), request(1))
    await settle()
    running.get('r0')?.answer(new Uint8Array(101))
    await settle()
    clock.advance(5)
    await peer.expect('close', { errCode: Category.ResourceExhausted })
    t.same(order, ['r0'])
  })

  await t.test('the next begins when the answer was handed over', async t => {
    const { peer, order, running } = await setUp(t, { minor: 0 })
    peer.transport.pause()
    peer.send(request(0), request(1), request(2))
    await settle()
    running.get('r0')?.answer(new Uint8Array(200_000))
    await settle()
    running.get('r1')?.answer(new Uint8Array(200_000))
    await settle()
    t.same(order, ['r0', 'r1'], 'the second answer found no room')
    peer.transport.resume()
    await until(() => order.length === 3)
  })

  await t.test('Close: what was asked is still answered, then Close of code 0', async t => {
    const { peer, order, answer } = await setUp(t, { minor: 0 })
    peer.send(request(0), request(1), msg.close(), request(2))
    await settle()
    answer('r0')
    await peer.expect('payload', { reqID: 0 })
    answer('r1')
    await peer.expect('payload', { reqID: 1 })
    await peer.expect('close', { errCode: 0 })
    t.same(order, ['r0', 'r1'], 'what came after it is not taken')
  })

  await t.test('Close of an idle session is answered at once', async t => {
    const { peer } = await setUp(t, { minor: 0 })
    peer.send(msg.close())
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('Cancel of a request that waits: it is never run', async t => {
    const { peer, order, answer } = await setUp(t, { minor: 0 })
    peer.send(request(0), request(1), request(2), msg.cancel({ reqID: 1 }))
    await settle()
    answer('r0')
    await peer.expect('payload', { reqID: 0 })
    await settle()
    t.same(order, ['r0', 'r2'])
  })

  await t.test('Cancel of the one that runs: its handler is told, its answer thrown away, the next begins', async t => {
    const { peer, order, running, answer } = await setUp(t, { minor: 0 })
    peer.send(request(4), request(5))
    await settle()
    peer.send(msg.cancel({ reqID: 4 }))
    await settle()
    t.ok(running.get('r4')?.context.signal.aborted)
    t.same(order, ['r4', 'r5'])
    answer('r4')
    answer('r5')
    await peer.expect('payload', { reqID: 5 })
    await peer.expectSilence()
  })

  await t.test('Cancel of 0 is request 0 while that runs, the whole session otherwise', async t => {
    const { peer, running, answer } = await setUp(t, { minor: 0 })
    peer.send(request(0), request(1), msg.cancel({ reqID: 0 }))
    await until(() => running.has('r1'))
    peer.send(request(2), msg.cancel({ reqID: 0 }), request(3))
    await settle()
    answer('r1')
    await peer.expect('payload', { reqID: 1 })
    answer('r2')
    await peer.expect('payload', { reqID: 2 })
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('Cancel of an unknown request is ignored', async t => {
    const { peer, answer } = await setUp(t, { minor: 0 })
    peer.send(request(0), msg.cancel({ reqID: 9 }))
    await settle()
    answer('r0')
    await peer.expect('payload', { reqID: 0 })
  })

  await t.test('the deadline of the session closes it with 4', async t => {
    const { peer, running, clock } = await setUp(t, { minor: 0, open: { deadlineMS: 100n } })
    peer.send(request(0), request(1))
    await settle()
    clock.advance(100)
    await peer.expect('close', { errCode: Category.DeadlineExceeded })
    t.ok(running.get('r0')?.context.signal.aborted)
  })

  await t.test('an error is gone with the connection', async t => {
    const { peer, running, clock, server } = await setUp(t, { minor: 0 })
    peer.send(request(0))
    await settle()
    peer.transport.destroy()
    await until(() => server.connections.size === 0)
    t.ok(running.get('r0')?.context.signal.aborted)
    running.get('r0')?.fail(new Error('too late'))
    await settle()
    t.equal(clock.pendingTimers, 0)
  })
})

t.test('the loss of the connection tells every handler, and frees every place', async t => {
  const { peer, running, server, clock, answer } = await setUp(t, { maxConcurrentRPCs: 2 })
  peer.send(request(1), request(2), request(3))
  await until(() => running.size === 2)
  peer.transport.destroy()
  await until(() => server.connections.size === 0)
  t.equal((running.get('r1')?.context.signal.reason as RpcError).category, Category.Canceled)
  answer('r1')
  running.get('r2')?.fail(new Error('too late'))
  await settle()
  t.equal(server.stats().running, 0)
  t.equal(clock.pendingTimers, 0)
})
