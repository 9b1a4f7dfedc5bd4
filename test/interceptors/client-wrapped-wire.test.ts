// Wrapped streams of a client against a scripted server: what travels in the Open, the bounds, how they end.
import t from 'tap'
import type { Test } from 'tap'
import type { ClientOptions, ClientStreamIO, ClientStreamWrapper, StreamClientInterceptor } from '../../types/client-options.js'
import { Category, ErrorCode } from '../../lib/errors.js'
import { Metadata } from '../../lib/metadata.js'
import { NO_BYTES } from '../../lib/wire/message.js'
import { deferred, msg, scriptedServer, settle, str, text, until, watch } from '../helpers/scripted-peer.js'
import type { ScriptedServer } from '../helpers/scripted-peer.js'

const setUp = (t: Test, wrapper: ClientStreamWrapper | StreamClientInterceptor[], options: ClientOptions = {}): ScriptedServer =>
  scriptedServer(t, { keepAliveIntervalMs: 0, streamInterceptors: Array.isArray(wrapper) ? wrapper : [(call, next) => next(call.wrap(wrapper))], ...options })

const louder: ClientStreamWrapper = (io) => ({ send: async (message, options) => { await io.send(text(`${str(message)}!`), options) } })

/** Holds back each message until it is let through. */
function holding (): { wrapper: ClientStreamWrapper, held: string[], letThrough: () => void, refuse: (error: Error) => void } {
  const waiting: ReturnType<typeof deferred<void>>[] = []
  const held: string[] = []
  return {
    held,
    letThrough: () => { waiting.shift()?.resolve() },
    refuse: (error) => { waiting.shift()?.reject(error) },
    wrapper: (io: ClientStreamIO) => ({
      async send (message, options) {
        const turn = deferred()
        held.push(str(message))
        waiting.push(turn)
        await turn.promise
        await io.send(message, options)
      }
    })
  }
}

t.test('the first message travels in the Open, wrapped', async t => {
  const { client, peer } = setUp(t, louder)
  const stream = client.biDir('p', 'S', 'BiDir')
  const sends = ['a', 'b', 'c'].map((message) => watch(stream.send(text(message))))
  stream.closeSend()
  const open = await peer.expect('open')
  t.match(open.first, { payload: text('a!'), endStream: false })
  await peer.expectSilence()
  t.notOk(sends.some((send) => send.isSettled))
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await peer.expect('payload', { payload: text('b!') })
  await peer.expect('payload', { payload: text('c!') })
  await peer.expect('payload', { payload: NO_BYTES, endStream: true })
  await settle()
  t.ok(sends.every((send) => send.isSettled && send.error === undefined))
})

t.test('also what was said before an interceptor had done', async t => {
  const { promise, resolve } = deferred()
  const { client, peer } = setUp(t, [async (call, next) => {
    await promise
    await next(call.wrap(louder))
  }])
  watch(client.biDir('p', 'S', 'BiDir').send(text('a')))
  await peer.expectSilence()
  resolve()
  t.match((await peer.expect('open')).first, { payload: text('a!') })
})

t.test('interceptors that wrap nothing leave the frames as they are without them', async t => {
  const { promise, resolve } = deferred()
  for (const interceptor of [(call, next) => next(call), async (call, next) => { await promise; await next(call) }] satisfies StreamClientInterceptor[]) {
    const { client, peer } = setUp(t, [interceptor])
    const stream = client.biDir('p', 'S', 'BiDir')
    const metadata = new Metadata({ n: '1' })
    watch(stream.send(text('a'), { metadata }))
    metadata.set('n', '2')
    watch(stream.send(text('b'), { metadata }))
    stream.closeSend()
    resolve()
    const open = await peer.expect('open')
    t.match(open.first, { payload: text('a'), endStream: false, metadata: [{ key: 'n', value: text('1') }] }, 'with the metadata of that moment')
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    t.match(await peer.expect('payload', { payload: text('b'), endStream: true }), { metadata: [{ value: text('2') }] })
    await peer.expectSilence()
  }
})

t.test('server streams', async t => {
  await t.test('carry the wrapped request there, with the end', async t => {
    const { client, peer } = setUp(t, louder)
    client.recv('p', 'S', 'Recv', { request: text('hello') })
    t.match((await peer.expect('open')).first, { payload: text('hello!'), endStream: true })
    client.recv('p', 'S', 'Recv')
    t.match((await peer.expect('open')).first, { payload: NO_BYTES, endStream: true })
    await peer.expectSilence()
  })

  await t.test('are opened when the request has passed', async t => {
    const { wrapper, letThrough } = holding()
    const { client, peer, clock } = setUp(t, wrapper)
    client.recv('p', 'S', 'Recv', { request: text('hello'), timeoutMs: 1000 })
    await peer.expectSilence()
    clock.advance(400)
    letThrough()
    const open = await peer.expect('open', { deadlineMS: 600n })
    t.match(open.first, { payload: text('hello'), endStream: true })
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    await peer.expectSilence()
  })

  await t.test('or without one that a wrapper swallows', async t => {
    const { client, peer } = setUp(t, () => ({ send: async () => {} }))
    client.recv('p', 'S', 'Recv', { request: text('hello') })
    t.match((await peer.expect('open')).first, { payload: NO_BYTES, endStream: true })
  })

  await t.test('never, when it is refused, or too large then, or late', async t => {
    const { wrapper, letThrough, refuse } = holding()
    const { client, peer, clock } = setUp(t, [
      (call, next) => next(call.wrap(wrapper)),
      (call, next) => next(call.wrap((io) => ({ send: (message) => io.send(new Uint8Array(100 * message.byteLength)) })))
    ], { maxSendMsgSize: 1000 })
    const refused = client.recv('p', 'S', 'Recv', { request: text('hello') })
    refuse(new TypeError('no'))
    t.match(await refused.ended, { category: Category.Internal, cause: { message: 'no' } })
    const large = client.recv('p', 'S', 'Recv', { request: text('eleven long') })
    letThrough()
    t.match(await large.ended, { code: ErrorCode.MESSAGE_TOO_LARGE })
    const late = client.recv('p', 'S', 'Recv', { request: text('hello'), timeoutMs: 1000 })
    clock.advance(1000)
    t.match(await late.ended, { category: Category.DeadlineExceeded })
    letThrough()
    await peer.expectSilence()
    t.equal(client.running, 0)
  })

  await t.test('have one request, whatever a wrapper makes of it', async t => {
    const second: unknown[] = []
    const { client, peer } = setUp(t, (io) => ({
      async send (message) {
        await Promise.all([io.send(message), io.send(message).catch((error: unknown) => { second.push(error) })])
      }
    }))
    client.recv('p', 'S', 'Recv', { request: text('hello') })
    const open = await peer.expect('open')
    t.match(open.first, { payload: text('hello'), endStream: true })
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    await peer.expectSilence()
    t.match(second, [{ code: ErrorCode.SEND_AFTER_END }])
  })

  await t.test('say nothing to a 1.0 server', async t => {
    const { client, peer } = setUp(t, louder)
    const stream = client.recv('p', 'S', 'Recv', { request: text('hello') })
    const open = await peer.expect('open')
    peer.send(msg.ack({ openID: open.openID, sessionID: 1, protocolMinor: 0 }))
    await peer.expectSilence()
    t.equal(stream.err, undefined)
  })
})

t.test('what waits is bounded, before the stream is opened and while a wrapper holds a message', async t => {
  const { promise, resolve } = deferred()
  const { wrapper, held, letThrough } = holding()
  const { client, peer } = setUp(t, [async (call, next) => {
    await promise
    await next(call.wrap(wrapper))
  }], { sendBufferBytes: 1000 + 2 * 64, maxSendMsgSize: 5000 })
  // Each message counts 64 beside its bytes: one of 800 and one of 200 are all that fits.
  const stream = client.biDir('p', 'S', 'BiDir')
  const say = (): ReturnType<typeof watch>[] => [
    ...[5001, 800, 300, 200].map((bytes) => watch(stream.send(new Uint8Array(bytes)))),
    watch(stream.send('text' as unknown as Uint8Array)),
    watch(stream.send(text('x'), { metadata: { key: 5 as unknown as string } }))
  ]
  const codes = (sends: ReturnType<typeof say>): unknown[] => sends.map((send) => send.error?.code ?? send.error?.name)
  const refused = [ErrorCode.MESSAGE_TOO_LARGE, undefined, ErrorCode.SEND_QUEUE_FULL, undefined, ErrorCode.ARGUMENT_INVALID]
  const before = say()
  await settle(1)
  t.strictSame(codes(before).slice(0, 5), refused)
  t.ok(before[5]?.error)
  resolve()
  const open = await peer.expect('open')
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await settle()
  t.equal(held.length, 1, 'one at a time')
  const full = watch(stream.send(text('1')))
  letThrough()
  await peer.expect('payload')
  const fits = watch(stream.send(new Uint8Array(800)))
  await settle()
  t.equal(full.error?.code, ErrorCode.SEND_QUEUE_FULL)
  letThrough()
  letThrough()
  await peer.expect('payload')
  await settle()
  letThrough()
  await peer.expect('payload')
  t.equal(fits.error, undefined)
  const after = say()
  await settle()
  t.strictSame(codes(after).slice(0, 5), refused)
  t.ok(after[5]?.error)
})

t.test('a wrapper may transfer what it is given, and send it in one piece later', async t => {
  const { client, peer } = setUp(t, (io) => ({
    send: async (message) => { await io.send(new Uint8Array(structuredClone(message.buffer, { transfer: [message.buffer] }))) }
  }), { sendBufferBytes: 100 + 2 * 64 })
  const stream = client.biDir('p', 'S', 'BiDir')
  const sends = [watch(stream.send(new Uint8Array(90)))]
  const open = await peer.expect('open')
  t.equal(open.first?.payload.byteLength, 90)
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await settle()
  for (let i = 0; i < 3; i++) {
    for (const length of [90, 10]) sends.push(watch(stream.send(new Uint8Array(length))))
    await peer.expect('payload')
    await peer.expect('payload')
    await settle()
  }
  t.strictSame(sends.map((send) => [send.isSettled, send.error]), Array(7).fill([true, undefined]))
})

t.test('an end while a wrapper holds a message', async t => {
  const begin = async (t: Test): Promise<ReturnType<typeof holding> & ScriptedServer & { stream: ReturnType<ScriptedServer['client']['biDir']>, sends: ReturnType<typeof watch>[] }> => {
    const hold = holding()
    const set = setUp(t, hold.wrapper)
    const stream = set.client.biDir('p', 'S', 'BiDir')
    const sends = ['a', 'b'].map((message) => watch(stream.send(text(message))))
    stream.closeSend()
    const open = await set.peer.expect('open')
    t.equal(open.first, undefined)
    set.peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    await settle()
    return { ...hold, ...set, stream, sends }
  }

  await t.test('by the caller: it and all behind it fail at once', async t => {
    const { stream, sends, peer, held, letThrough } = await begin(t)
    stream.cancel('enough')
    await peer.expect('cancel')
    t.match(sends, [{ error: { message: 'enough' } }, { error: { message: 'enough' } }])
    letThrough()
    const late = watch(stream.send(text('c')))
    await settle()
    t.match(late.error, { message: 'enough' })
    t.strictSame(held, ['a'])
    await peer.expectSilence()
  })

  await t.test('by the server, well: what was not sent says so', async t => {
    const { stream, sends, peer, held, letThrough } = await begin(t)
    peer.send(msg.payload({ payload: text('answer') }), msg.close())
    t.equal(await stream.ended, undefined)
    await until(() => sends[1]?.isSettled === true)
    t.equal(sends[1]?.error?.code, ErrorCode.SESSION_CLOSED)
    t.notOk(sends[0]?.isSettled, 'the wrapper may have sent it already')
    letThrough()
    await until(() => sends[0]?.isSettled === true)
    t.equal(sends[0]?.error?.code, ErrorCode.SESSION_CLOSED)
    t.strictSame(held, ['a'])
    const received: string[] = []
    for await (const message of stream.recv()) received.push(str(message))
    t.strictSame(received, ['answer'])
  })

  await t.test('before the stream was opened', async t => {
    const { promise, resolve } = deferred()
    const { client, peer } = setUp(t, [async (call, next) => {
      await promise
      await next(call.wrap(louder))
    }])
    const stream = client.biDir('p', 'S', 'BiDir')
    const outcomes = [watch(stream.send(text('a'))), watch(stream.recv().next()), watch(stream.messages().next())]
    stream.closeSend()
    stream.cancel('changed my mind')
    outcomes.push(watch(stream.send(text('b'))))
    await settle()
    t.match(outcomes, Array(4).fill({ error: { message: 'changed my mind' } }))
    resolve()
    await peer.expectSilence()
    t.equal(client.running, 0)
  })

  await t.test('by options that make no sense', async t => {
    const { client, peer } = setUp(t, [(call, next) => next({ ...call.wrap(louder), options: { timeoutMs: NaN } })])
    const stream = client.biDir('p', 'S', 'BiDir')
    const sending = watch(stream.send(text('a')))
    t.match(await stream.ended, { category: Category.Internal })
    await settle()
    t.match(sending.error, { category: Category.Internal })
    await peer.expectSilence()
  })
})
