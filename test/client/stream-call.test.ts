// Streams of a caller against a scripted server.
import t from 'tap'
import type { Test } from 'tap'
import type { ClientBiDirStream, ClientRecvStream, ClientSendStream } from '../../lib/client/streams.js'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { NO_BYTES, RpcType } from '../../lib/wire/message.js'
import type { Open } from '../../lib/wire/message.js'
import type { CallOptions, ClientOptions, StreamClientInterceptor } from '../../types/client-options.js'
import { deferred, msg, scriptedServer, settle, str, text, until, watch } from '../helpers/scripted-peer.js'
import type { ScriptedServer } from '../helpers/scripted-peer.js'

interface Opened extends ScriptedServer { open: Open, stream: ClientBiDirStream }

/** A bidirectional stream that the server has accepted as session 1. */
async function openBiDir (t: Test, { minor = 1, call = {}, ack = {}, ...options }: ClientOptions & { minor?: 0 | 1, call?: CallOptions, ack?: Parameters<typeof msg.ack>[0] } = {}): Promise<Opened> {
  const set = scriptedServer(t, { keepAliveIntervalMs: 0, ...options })
  const stream = set.client.biDir('p', 'S', 'BiDir', call)
  const open = await set.peer.expect('open')
  set.peer.send(msg.ack({ openID: open.openID, sessionID: 1, protocolMinor: minor, ...ack }))
  await settle()
  return { ...set, open, stream }
}

async function collect (messages: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found: string[] = []
  for await (const bytes of messages) found.push(str(bytes))
  return found
}

t.test('the first message travels in the Open', async t => {
  const { client, peer } = scriptedServer(t)
  const stream = client.biDir('p', 'S', 'BiDir')
  const sends = [watch(stream.send(text('a'), { metadata: { k: 'v' } })), watch(stream.send(text('b')))]
  stream.closeSend()
  const open = await peer.expect('open', { protocolMinor: 1 })
  t.equal(open.descr.type, RpcType.BiDirectional)
  t.match(open.first, { payload: text('a'), endStream: false, sessionID: 0, more: false })
  t.equal(open.first?.metadata.length, 1)
  await peer.expectSilence()
  t.notOk(sends[0]?.isSettled, 'it may yet be refused')
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await peer.expect('payload', { payload: text('b'), endStream: true })
  await settle()
  t.ok(sends.every((send) => send.isSettled && send.error === undefined))
})

t.test('the only message and the end travel there together', async t => {
  const { client, peer } = scriptedServer(t)
  const stream = client.send('p', 'S', 'Send')
  watch(stream.send(text('a')))
  const answer = watch(stream.close())
  const open = await peer.expect('open')
  t.match(open.first, { endStream: true })
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }), msg.payload({ payload: text('answer') }), msg.close())
  await until(() => answer.isSettled)
  t.equal(str(answer.value ?? NO_BYTES), 'answer')
  t.equal(peer.all('payload').length, 0)
})

t.test('what does not fit into an Open follows it', async t => {
  for (const [bytes, metadata] of [[new Uint8Array(64 * 1024 + 1), {}], [text('x'), { large: new Uint8Array(15_000), other: new Uint8Array(15_000) }]] as const) {
    const { client, peer } = scriptedServer(t)
    const stream = client.biDir('p', 'S', 'BiDir')
    const sending = watch(stream.send(bytes, { metadata }))
    stream.closeSend()
    const open = await peer.expect('open')
    t.equal(open.first, undefined)
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    if (bytes.byteLength > 1) {
      await peer.expect('payload', { more: true })
      await peer.expect('payload', { more: false, endStream: true })
      await settle()
      t.ok(sending.isSettled)
    } else {
      await peer.expect('payload', { payload: NO_BYTES, endStream: true })
      t.equal(sending.error?.code, ErrorCode.METADATA_TOO_LARGE, 'and metadata beyond 16 KiB are refused')
    }
  }
})

t.test('a 1.0 server skipped First: it is sent again as the first payload', async t => {
  const { client, peer } = scriptedServer(t)
  const stream = client.biDir('p', 'S', 'BiDir')
  watch(stream.send(text('a')))
  stream.closeSend()
  const open = await peer.expect('open')
  t.ok(open.first)
  peer.send(msg.ack({ openID: open.openID, sessionID: 1, protocolMinor: 0 }))
  await peer.expect('payload', { payload: text('a'), endStream: true })
  const next = client.biDir('p', 'S', 'BiDir')
  watch(next.send(text('b')))
  const again = await peer.expect('open', { protocolMinor: 1 })
  t.equal(again.first, undefined, 'and not tried again')
  peer.send(msg.ack({ openID: again.openID, sessionID: 2, protocolMinor: 0 }))
  await peer.expect('payload', { sessionID: 2, payload: text('b'), endStream: false })
})

t.test('closeSend after the Open has left', async t => {
  const { client, peer } = scriptedServer(t)
  const stream = client.biDir('p', 'S', 'BiDir')
  watch(stream.send(text('a')))
  const open = await peer.expect('open')
  stream.closeSend()
  stream.closeSend()
  const late = watch(stream.send(text('late')))
  await settle()
  t.equal(late.error?.code, ErrorCode.SEND_AFTER_END)
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await peer.expect('payload', { payload: NO_BYTES, endStream: true })
  await peer.expectSilence()
})

t.test('early messages are bounded', async t => {
  const { client } = scriptedServer(t, { sendBufferBytes: 1000, maxSendMsgSize: 5000 })
  const stream = client.biDir('p', 'S', 'BiDir')
  const sends = [5001, 2000, 500, 600].map((bytes) => watch(stream.send(new Uint8Array(bytes))))
  const odd = watch(stream.send('text' as unknown as Uint8Array))
  await settle()
  t.same(sends.map((send) => send.error?.code), [ErrorCode.MESSAGE_TOO_LARGE, undefined, ErrorCode.SEND_QUEUE_FULL, ErrorCode.SEND_QUEUE_FULL])
  t.equal(odd.error?.code, ErrorCode.ARGUMENT_INVALID)
})

t.test('a limit of the server that was not known: the message fails, the stream goes on', async t => {
  const { client, peer } = scriptedServer(t)
  const stream = client.biDir('p', 'S', 'BiDir')
  const sends = [watch(stream.send(text('a'))), watch(stream.send(new Uint8Array(1000)))]
  stream.closeSend()
  const open = await peer.expect('open')
  peer.send(msg.ack({ openID: open.openID, sessionID: 1, maxPayloadSize: 100 }))
  await peer.expect('payload', { payload: NO_BYTES, endStream: true })
  await settle()
  t.same(sends.map((send) => send.error?.code), [undefined, ErrorCode.MESSAGE_TOO_LARGE])
})

t.test('ends', async t => {
  await t.test('with Close 0: messages, headers, trailers', async t => {
    const { peer, stream, client } = await openBiDir(t, { ack: { metadata: [{ key: 'H', value: text('header') }] } })
    t.equal(stream.headers.get('h'), 'header')
    peer.send(msg.payload({ payload: text('a') }), msg.payload({ payload: text('b') }), msg.close({ metadata: [{ key: 'T', value: text('trailer') }] }))
    t.same(await collect(stream.recv()), ['a', 'b'])
    t.equal(stream.trailer.get('t'), 'trailer')
    t.equal(await stream.ended, undefined)
    t.equal(stream.err, undefined)
    t.equal(client.running, 0)
    const late = watch(stream.send(text('x')))
    await settle()
    t.equal(late.error?.code, ErrorCode.SESSION_CLOSED)
    stream.cancel()
    stream.closeSend()
    await peer.expectSilence()
  })

  await t.test('at Close, not at EndStream', async t => {
    const { peer, stream } = await openBiDir(t)
    const all = watch(collect(stream.recv()))
    peer.send(msg.payload({ payload: text('a') }), msg.payload({ endStream: true }))
    await settle()
    t.notOk(all.isSettled)
    peer.send(msg.close({ errCode: Category.NotFound, error: 'no such row' }))
    await until(() => all.isSettled)
    t.match(all.error, { category: Category.NotFound, message: 'no such row' })
  })

  await t.test('with an error: what was buffered first, then code, text and trailers', async t => {
    const { peer, stream } = await openBiDir(t)
    peer.send(msg.payload({ payload: text('a') }), msg.close({ errCode: Category.Aborted, error: 'conflict', metadata: [{ key: 'k', value: text('v') }] }))
    await settle()
    const messages = stream.recv()
    t.equal(str((await messages.next()).value as Uint8Array), 'a')
    const outcome = watch(messages.next())
    await until(() => outcome.isSettled)
    t.match(outcome.error, { category: Category.Aborted, message: 'conflict' })
    t.equal((await stream.ended)?.metadata.get('k'), 'v')
  })

  await t.test('Close 0 inside a message: data were lost', async t => {
    const { peer, stream } = await openBiDir(t)
    peer.send(msg.payload({ payload: new Uint8Array(5000), more: true }), msg.close())
    t.match(await stream.ended, { category: Category.DataLoss, code: ErrorCode.INCOMPLETE })
  })

  await t.test('the loss of the connection', async t => {
    const { peer, stream } = await openBiDir(t)
    const blocked = watch(stream.send(new Uint8Array(1 << 20)))
    peer.transport.destroy()
    t.match(await stream.ended, { category: Category.Unavailable })
    await until(() => blocked.isSettled)
    t.match(blocked.error, { category: Category.Unavailable })
  })

  await t.test('an ErrCode on a stream is an error of the session', async t => {
    const { peer, stream } = await openBiDir(t)
    peer.send(msg.payload({ errCode: 5 }))
    await peer.expect('close', { errCode: Category.InvalidArgument })
    t.match(await stream.ended, { category: Category.InvalidArgument })
  })

  await t.test('a Cancel of the server', async t => {
    const { peer, stream, client } = await openBiDir(t)
    peer.send(msg.cancel())
    t.match(await stream.ended, { category: Category.Canceled })
    await peer.expect('cancel')
    t.equal(client.running, 0)
  })

  await t.test('a message that is too large', async t => {
    const { peer, stream } = await openBiDir(t, { maxRecvMsgSize: 10 })
    peer.send(msg.payload({ payload: new Uint8Array(11) }))
    await peer.expect('close', { errCode: Category.ResourceExhausted })
    t.match(await stream.ended, { category: Category.ResourceExhausted, code: ErrorCode.MESSAGE_TOO_LARGE })
  })

  await t.test('a message nobody can decompress', async t => {
    const { peer, stream } = await openBiDir(t)
    peer.send(msg.payload({ payload: text('x'), compression: 9 }))
    const all = watch(collect(stream.recv()))
    await peer.expect('cancel')
    await until(() => all.isSettled)
    t.match(all.error, { category: Category.Unimplemented })
  })
})

t.test('the caller gives up', async t => {
  await t.test('by cancel', async t => {
    const { peer, stream, client } = await openBiDir(t)
    const blocked = watch(stream.send(new Uint8Array(1 << 20)))
    await peer.expect('payload')
    stream.cancel('enough')
    peer.ignored.add('payload')
    await peer.expect('cancel', { sessionID: 1, reqID: 0 })
    t.match(await stream.ended, { category: Category.Canceled, message: 'enough' })
    await until(() => blocked.isSettled)
    t.match(blocked.error, { category: Category.Canceled })
    t.match(stream.err, { category: Category.Canceled })
    t.equal(client.running, 0)
    peer.send(msg.close({ errCode: 1 }))
    await peer.expectSilence()
  })

  await t.test('by its signal, with its reason', async t => {
    const controller = new AbortController()
    const { peer, stream } = await openBiDir(t, { call: { signal: controller.signal } })
    const reason = new RpcError(Category.Aborted, 'mine')
    controller.abort(reason)
    await peer.expect('cancel')
    t.equal(await stream.ended, reason)
  })

  await t.test('before it was opened', async t => {
    const { client, peer, clock } = scriptedServer(t, { keepAliveIntervalMs: 0 })
    const canceled = client.biDir('p', 'S', 'BiDir')
    const sending = watch(canceled.send(text('x')))
    canceled.cancel()
    const aborted = client.biDir('p', 'S', 'BiDir', { signal: AbortSignal.abort() })
    const late = client.biDir('p', 'S', 'BiDir', { timeoutMs: 0 })
    await peer.expectSilence()
    t.match(await canceled.ended, { category: Category.Canceled })
    t.match(await aborted.ended, { category: Category.Canceled })
    t.match(await late.ended, { category: Category.DeadlineExceeded })
    t.match(sending.error, { category: Category.Canceled })
    t.equal(client.running, 0)
    t.equal(clock.pendingTimers, 1, 'but the sweep')
  })

  await t.test('at its deadline, which the server knows', async t => {
    const { peer, stream, open, clock } = await openBiDir(t, { call: { timeoutMs: 1500 } })
    t.equal(open.deadlineMS, 1500n)
    clock.advance(1499)
    await peer.expectSilence()
    clock.advance(1)
    await peer.expect('cancel')
    t.match(await stream.ended, { category: Category.DeadlineExceeded })
  })

  await t.test('or not at all, when it has ended before: the timer is gone, and the listener', async t => {
    const controller = new AbortController()
    const { peer, stream, clock } = await openBiDir(t, { call: { timeoutMs: 1500, signal: controller.signal } })
    t.equal(clock.pendingTimers, 2)
    peer.send(msg.close())
    await stream.ended
    t.equal(clock.pendingTimers, 1, 'but the sweep')
    controller.abort()
    await peer.expectSilence()
    t.equal(stream.err, undefined)
  })

  await t.test('never, with a timeout of Infinity', async t => {
    const { open, clock } = await openBiDir(t, { call: { timeoutMs: Infinity } })
    t.equal(open.deadlineMS, 0n)
    t.equal(clock.pendingTimers, 1)
  })

  await t.test('nonsense is told at once and leaves nothing behind', async t => {
    const { client } = scriptedServer(t)
    t.throws(() => client.biDir('p', 'S', 'BiDir', { timeoutMs: NaN }), { code: ErrorCode.ARGUMENT_INVALID })
    t.throws(() => client.biDir('p', 'S', 'BiDir', { metadata: { key: 5 as unknown as string } }), TypeError)
    t.equal(client.running, 0)
  })

  await t.test('a very long deadline is cut to what a Go server understands', async t => {
    const { open } = await openBiDir(t, { call: { timeoutMs: 1e18 } })
    t.equal(open.deadlineMS, 9_223_372_036_854n)
  })
})

t.test('server streams', async t => {
  const openRecv = async (t: Test, options: Parameters<ScriptedServer['client']['recv']>[3] = {}, ack: Parameters<typeof msg.ack>[0] = {}): Promise<ScriptedServer & { open: Open, stream: ClientRecvStream }> => {
    const set = scriptedServer(t, { keepAliveIntervalMs: 0, maxSendMsgSize: 200_000 })
    const stream = set.client.recv('p', 'S', 'Recv', options)
    const open = await set.peer.expect('open')
    set.peer.send(msg.ack({ openID: open.openID, sessionID: 1, ...ack }))
    return { ...set, open, stream }
  }

  await t.test('without a request end their half in the Open', async t => {
    const { peer, open } = await openRecv(t)
    t.match(open.first, { payload: NO_BYTES, endStream: true })
    await peer.expectSilence()
  })

  await t.test('carry the request there, with the end', async t => {
    const { peer, open } = await openRecv(t, { request: text('hello') })
    t.match(open.first, { payload: text('hello'), endStream: true })
    await peer.expectSilence()
  })

  await t.test('or after it, the end on its last chunk', async t => {
    const { peer, open } = await openRecv(t, { request: new Uint8Array(100_000) })
    t.equal(open.first, undefined)
    await peer.expect('payload', { more: true, endStream: false })
    await peer.expect('payload', { more: false, endStream: true })
  })

  await t.test('whose request is too large are no calls', async t => {
    const { client, peer } = scriptedServer(t, { maxSendMsgSize: 100 })
    const stream = client.recv('p', 'S', 'Recv', { request: new Uint8Array(101) })
    t.match(await stream.ended, { category: Category.ResourceExhausted, code: ErrorCode.MESSAGE_TOO_LARGE })
    await peer.expectSilence()
    const late = await openRecv(t, { request: new Uint8Array(100_000) }, { maxPayloadSize: 1000 })
    t.match(await late.stream.ended, { category: Category.ResourceExhausted })
    await late.peer.expect('payload', { endStream: true })
    await late.peer.expect('cancel')
  })

  await t.test('say nothing to a 1.0 server', async t => {
    const { peer } = await openRecv(t, {}, { protocolMinor: 0 })
    await peer.expectSilence()
  })

  await t.test('are canceled by leaving the loop', async t => {
    const { peer, stream } = await openRecv(t)
    peer.send(msg.payload({ payload: text('a') }), msg.payload({ payload: text('b') }))
    const found: string[] = []
    for await (const bytes of stream) {
      found.push(str(bytes))
      if (found.length === 1) break
    }
    await peer.expect('cancel', { sessionID: 1 })
    const other = await openRecv(t)
    other.peer.send(msg.payload({ payload: text('a') }))
    for await (const { payload } of other.stream.messages()) if (str(payload) === 'a') break
    await other.peer.expect('cancel')
  })

  await t.test('that have ended are not', async t => {
    const { peer, stream } = await openRecv(t)
    peer.send(msg.payload({ payload: text('a') }), msg.close())
    t.same(await collect(stream), ['a'])
    await peer.expectSilence()
  })
})

t.test('client streams', async t => {
  const openSend = async (t: Test): Promise<ScriptedServer & { stream: ClientSendStream }> => {
    const set = scriptedServer(t, { keepAliveIntervalMs: 0 })
    const stream = set.client.send('p', 'S', 'Send')
    const open = await set.peer.expect('open')
    set.peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    await settle()
    return { ...set, stream }
  }

  await t.test('the answer comes with the Close, and no Close goes out before', async t => {
    const { peer, stream } = await openSend(t)
    await stream.send(text('a'))
    const answer = watch(stream.close())
    await peer.expect('payload', { payload: text('a') })
    await peer.expect('payload', { endStream: true })
    await peer.expectSilence()
    peer.send(msg.payload({ payload: text('answer') }))
    await settle()
    t.notOk(answer.isSettled)
    peer.send(msg.close())
    await until(() => answer.isSettled)
    t.equal(str(answer.value ?? NO_BYTES), 'answer')
  })

  await t.test('no answer is an empty one', async t => {
    const { peer, stream } = await openSend(t)
    const answer = watch(stream.close())
    peer.send(msg.close())
    await until(() => answer.isSettled)
    t.equal(answer.value?.byteLength, 0)
  })

  await t.test('an error of the handler is thrown, also while it sends', async t => {
    const { peer, stream } = await openSend(t)
    const blocked = watch(stream.send(new Uint8Array(1 << 20)))
    await settle()
    peer.send(msg.close({ errCode: Category.PermissionDenied, error: 'no' }))
    await until(() => blocked.isSettled)
    t.match(blocked.error, { category: Category.PermissionDenied })
    const answer = watch(stream.close())
    await until(() => answer.isSettled)
    t.match(answer.error, { category: Category.PermissionDenied, message: 'no' })
  })
})

t.test('credit goes back as the caller takes', async t => {
  const { peer, stream } = await openBiDir(t, { windowBytes: 128 * 1024, maxWindowBytes: 0 })
  for (let i = 0; i < 4; i++) peer.send(msg.payload({ payload: new Uint8Array(30_000) }))
  await peer.expectSilence()
  const messages = stream.recv()
  await messages.next()
  await messages.next()
  await peer.expectSilence()
  await messages.next()
  const update = await peer.expect('windowUpdate', { sessionID: 1 })
  t.ok(update.bytes > 90_000)
})

t.test('interceptors', async t => {
  const setUp = (...streamInterceptors: StreamClientInterceptor[]): ScriptedServer => scriptedServer(t, { streamInterceptors, keepAliveIntervalMs: 0 })

  await t.test('the first is the outermost; options may be changed; the end passes through all', async t => {
    const log: string[] = []
    const { client, peer } = setUp(
      async (call, next) => {
        log.push('a')
        await next({ ...call, options: { ...call.options, metadata: { who: 'me' } } })
        log.push('a ended')
      },
      async (call, next) => {
        log.push(`b ${call.call} ${call.type}`)
        await next(call)
        log.push('b ended')
      }
    )
    const stream = client.biDir('p', 'S', 'BiDir')
    watch(stream.send(text('early')))
    const open = await peer.expect('open')
    t.match(open.metadata, [{ key: 'who' }])
    t.match(open.first, { payload: text('early') })
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }), msg.close())
    t.equal(await stream.ended, undefined)
    await until(() => log.length === 4)
    t.same(log, ['a', 'b BiDir 4', 'b ended', 'a ended'])
  })

  await t.test('one that waits holds the one Open back, sends wait with it', async t => {
    const { promise, resolve } = deferred()
    const { client, peer } = setUp(async (call, next) => {
      await promise
      await next({ ...call, options: { metadata: { token: 'x' } } })
    })
    const stream = client.biDir('p', 'S', 'BiDir')
    watch(stream.send(text('a')))
    await peer.expectSilence()
    resolve()
    const open = await peer.expect('open')
    t.match(open.metadata, [{ key: 'token' }])
    t.match(open.first, { payload: text('a') })
    await peer.expectSilence()
    t.equal(client.running, 1)
    stream.cancel()
    t.equal(client.running, 0)
  })

  await t.test('one that refuses fails the stream', async t => {
    const { client, peer } = setUp(async () => { throw new RpcError(Category.Unauthenticated, 'who are you') })
    const stream = client.biDir('p', 'S', 'BiDir')
    const sending = watch(stream.send(text('a')))
    t.match(await stream.ended, { category: Category.Unauthenticated })
    await until(() => sending.isSettled)
    t.match(sending.error, { category: Category.Unauthenticated })
    await peer.expectSilence()
    t.equal(client.running, 0)
  })

  await t.test('one that neither goes on nor refuses fails it too', async t => {
    const { client, peer } = setUp(async () => {})
    t.match(await client.recv('p', 'S', 'Recv').ended, { category: Category.Canceled })
    await peer.expectSilence()
  })

  await t.test('one that goes on after the caller has given up opens nothing', async t => {
    const { promise, resolve } = deferred()
    const { client, peer } = setUp(async (call, next) => { await promise; await next(call) })
    const stream = client.biDir('p', 'S', 'BiDir')
    stream.cancel()
    resolve()
    await peer.expectSilence()
    t.equal(client.running, 0)
  })

  await t.test('the error of the stream is theirs to see', async t => {
    let seen: unknown
    const { client, peer } = setUp(async (call, next) => { await next(call).catch((error: unknown) => { seen = error }) })
    const stream = client.biDir('p', 'S', 'BiDir')
    const open = await peer.expect('open')
    peer.send(msg.ack({ openID: open.openID, errCode: 7, error: 'no' }))
    t.match(await stream.ended, { category: Category.PermissionDenied })
    await settle()
    t.match(seen, { category: Category.PermissionDenied })
  })
})

t.test('messages without bytes are bounded too while nobody has opened the stream', async t => {
  for (const streamInterceptors of [[], [() => new Promise<void>(() => {})]]) {
    const { client } = scriptedServer(t, { sendBufferBytes: 1000, streamInterceptors })
    const stream = client.biDir('p', 'S', 'BiDir')
    const sends = Array.from({ length: 20 }, () => watch(stream.send(new Uint8Array(0))))
    await until(() => sends.some((send) => send.isSettled))
    t.match(sends.at(-1)?.error, { code: ErrorCode.SEND_QUEUE_FULL })
  }
})

t.test('metadata that make no sense reject the send, before and after the stream is open', async t => {
  const { client, peer } = scriptedServer(t)
  const stream = client.biDir('p', 'S', 'BiDir')
  const metadata = { k: 5 as unknown as string }
  const early = watch(stream.send(text('a'), { metadata }))
  const { openID } = await peer.expect('open')
  peer.send(msg.ack({ openID, sessionID: 1 }))
  await settle()
  const late = watch(stream.send(text('b'), { metadata }))
  await until(() => early.isSettled && late.isSettled)
  t.ok(early.error)
  t.match(late.error, { message: early.error?.message })
})
