// One stream on the server: all its ends, and what its handler meets.
import t from 'tap'
import type { Test } from 'tap'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler } from '../../lib/server/handlers.js'
import type { Server } from '../../lib/server/server.js'
import type { BiDirStream, RecvStream, SendStream } from '../../lib/server/streams.js'
import type { Open, Payload } from '../../lib/wire/message.js'
import type { HandlerContext } from '../../types/handler-context.js'
import type { ServerOptions } from '../../types/options.js'
import { deferred, msg, names, scriptedClient, settle, str, text, until, watch } from '../helpers/scripted-peer.js'
import type { ScriptedClient } from '../helpers/scripted-peer.js'

interface Handlers {
  biDir?: (context: HandlerContext, stream: BiDirStream) => Promise<void>
  send?: (context: HandlerContext, stream: RecvStream) => Promise<Uint8Array | void>
  recv?: (context: HandlerContext, stream: SendStream) => Promise<void>
}

type Kind = keyof Handlers

/** A connection with one accepted session of the kind. */
async function setUp (t: Test, kind: Kind, handlers: Handlers, { minor = 1, open = {}, ...options }: ServerOptions & { minor?: 0 | 1, open?: Parameters<typeof msg.open>[0] } = {}): Promise<ScriptedClient> {
  const set = scriptedClient(t, { keepAliveIntervalMs: 0, handshakeTimeoutMs: 0, ...options }, (server: Server) => {
    server.register('p', 'S', 'BiDir', new BiDirHandler(handlers.biDir ?? (async () => {})))
    server.register('p', 'S', 'Send', new SendHandler(handlers.send ?? (async () => {})))
    server.register('p', 'S', 'Recv', new RecvHandler(handlers.recv ?? (async () => {})))
  })
  set.peer.send(openOf(kind, { protocolMinor: minor, ...open }))
  await set.peer.expect('openAck', { errCode: 0 })
  return set
}

const openOf = (kind: Kind, fields: Parameters<typeof msg.open>[0] = {}): Open => msg.open({ descr: names[kind], ...fields })
const say = (content: string, fields: Partial<Payload> = {}): Payload => msg.payload({ payload: text(content), ...fields })
const END = msg.payload({ endStream: true })
/** Lets a promise go, as careless handlers do. */
const forget = (_promise: Promise<unknown>): void => {}
const forEver = (context: HandlerContext): Promise<void> => new Promise((resolve) => { context.signal.addEventListener('abort', () => { resolve() }) })

t.test('bidirectional', async t => {
  await t.test('messages in, messages out, Close with trailers', async t => {
    const { peer, conn } = await setUp(t, 'biDir', {
      async biDir (_context, stream) {
        for await (const bytes of stream.recv()) await stream.send(text(str(bytes).toUpperCase()))
        stream.setTrailer({ done: 'yes' })
        t.same(stream.trailer.toObject(), { done: 'yes' })
        t.equal(stream.err, undefined)
      }
    })
    peer.send(say('a'), say('b'), END)
    await peer.expect('payload', { payload: text('A') })
    await peer.expect('payload', { payload: text('B') })
    const close = await peer.expect('close', { errCode: 0 })
    t.equal(close.metadata[0]?.key, 'done')
    t.equal(conn.sessionCount, 0)
  })

  await t.test('metadata of messages, both ways', async t => {
    const { peer } = await setUp(t, 'biDir', {
      async biDir (_context, stream) {
        for await (const { payload, metadata } of stream.messages()) await stream.send(payload, { metadata })
      }
    })
    peer.send(say('a', { metadata: [{ key: 'K', value: text('v') }] }), END)
    const { metadata } = await peer.expect('payload')
    t.match(metadata, [{ key: 'k' }])
  })

  await t.test('an empty message is a message', async t => {
    const { peer } = await setUp(t, 'biDir', {
      async biDir (_context, stream) {
        let count = 0
        for await (const bytes of stream.recv()) count += bytes.byteLength === 0 ? 1 : 0
        await stream.send(text(String(count)))
      }
    })
    peer.send(say(''), say(''), END)
    await peer.expect('payload', { payload: text('2') })
  })
})

t.test('a handler ends with', async t => {
  const cases: [string, () => Promise<void>, number, string | RegExp][] = [
    ['nothing', async () => {}, 0, ''],
    ['an RpcError', async () => { throw new RpcError(Category.NotFound, 'no such row', { metadata: { row: '7' } }) }, Category.NotFound, 'no such row'],
    ['a foreign error', async () => { throw new Error('secret') }, Category.Internal, /^internal error$/],
    ['a throw before anything was awaited', () => { throw new Error('secret') }, Category.Internal, /^internal error$/],
    ['a throw of nothing', async () => { throw undefined }, Category.Internal, /^internal error$/] // eslint-disable-line no-throw-literal, @typescript-eslint/only-throw-error
  ]
  for (const [what, biDir, errCode, error] of cases) {
    await t.test(what, async t => {
      const { peer, server } = await setUp(t, 'biDir', { biDir })
      const close = await peer.expect('close', { errCode })
      t.match(close.error, error)
      if (errCode === Category.NotFound) t.match(close.metadata, [{ key: 'row' }])
      t.equal(server.stats().running, 0)
      await peer.expectSilence()
    })
  }

  await t.test('trailers that are too large', async t => {
    const { peer } = await setUp(t, 'biDir', { async biDir (_context, stream) { stream.setTrailer({ large: new Uint8Array(20_000) }) } })
    const close = await peer.expect('close', { errCode: Category.ResourceExhausted })
    t.equal(close.metadata.length, 0)
  })
})

t.test('the outcome follows everything that was sent', async t => {
  const { peer, server } = await setUp(t, 'biDir', {
    async biDir (_context, stream) {
      for (let i = 0; i < 10; i++) stream.send(new Uint8Array(50_000)).catch(() => {})
      throw new RpcError(Category.Aborted, 'after all that')
    }
  }, { open: { window: 128 * 1024 } })
  let bytes = 0
  for (let i = 0; i < 10; i++) {
    const { payload } = await peer.expect('payload')
    bytes += payload.byteLength
    if (i < 7) t.equal(server.stats().running, 1, 'it counts until then')
    peer.send(msg.update(1, 51_000))
  }
  t.equal(bytes, 500_000)
  await peer.expect('close', { errCode: Category.Aborted })
  t.equal(server.stats().running, 0)
})

t.test('a handler that does not await its sends', async t => {
  const outcome: unknown[] = []
  const onUnhandled = (error: unknown): void => { outcome.push(error) }
  process.on('unhandledRejection', onUnhandled)
  t.teardown(() => { process.off('unhandledRejection', onUnhandled) })
  const { peer } = await setUp(t, 'biDir', {
    async biDir (context, stream) {
      for (let i = 0; i < 100; i++) forget(stream.send(new Uint8Array(50_000)))
      await forEver(context)
      for (let i = 0; i < 100; i++) forget(stream.send(new Uint8Array(50_000)))
      forget(stream.send('text' as unknown as Uint8Array))
      forget(stream.recv().next().catch(() => {}))
    }
  }, { sendBufferBytes: 1 << 20 })
  await settle()
  peer.send(msg.cancel())
  await settle()
  t.same(outcome, [], 'ends no process')
})

t.test('more than sendBufferBytes that nobody awaits is refused', async t => {
  const outcomes: ReturnType<typeof watch<void>>[] = []
  await setUp(t, 'biDir', {
    async biDir (context, stream) {
      for (let i = 0; i < 30; i++) outcomes.push(watch(stream.send(new Uint8Array(50_000))))
      await forEver(context)
    }
  }, { sendBufferBytes: 1 << 20 })
  await settle()
  t.ok(outcomes.filter((outcome) => outcome.isSettled && outcome.error === undefined).length >= 2)
  t.equal(outcomes.at(-1)?.error?.code, ErrorCode.SEND_QUEUE_FULL)
})

t.test('what ends a stream before its handler does', async t => {
  interface Seen { reason?: RpcError, recv?: Error, send?: Error, err?: RpcError | undefined, messages: string[] }

  const watcher = (seen: Seen): Handlers => ({
    async biDir (context, stream) {
      await forEver(context)
      seen.reason = context.signal.reason as RpcError
      await (async () => { for await (const bytes of stream.recv()) seen.messages.push(str(bytes)) })().catch((error: Error) => { seen.recv = error })
      await stream.send(text('x')).catch((error: Error) => { seen.send = error })
      seen.err = stream.err
    }
  })

  const cases: [string, (set: ScriptedClient) => void, Category, number | undefined][] = [
    ['Cancel', ({ peer }) => { peer.send(msg.cancel()) }, Category.Canceled, Category.Canceled],
    ['Close of the client', ({ peer }) => { peer.send(msg.close()) }, Category.Canceled, Category.Canceled],
    ['the deadline', ({ clock }) => { clock.advance(500) }, Category.DeadlineExceeded, Category.DeadlineExceeded],
    ['a fault of the client', ({ peer }) => { peer.send(msg.update(1, 0x7fffffff)) }, Category.ResourceExhausted, Category.ResourceExhausted],
    ['an ErrCode on a stream', ({ peer }) => { peer.send(msg.payload({ errCode: 5 })) }, Category.InvalidArgument, Category.InvalidArgument],
    ['the loss of the connection', ({ peer }) => { peer.transport.destroy() }, Category.Canceled, undefined]
  ]
  for (const [what, end, category, errCode] of cases) {
    await t.test(what, async t => {
      const seen: Seen = { messages: [] }
      const set = await setUp(t, 'biDir', watcher(seen), { open: { deadlineMS: 500n } })
      set.peer.send(say('a'), say('b'))
      await settle()
      end(set)
      if (errCode !== undefined) await set.peer.expect('close', { errCode })
      await until(() => seen.send !== undefined)
      t.equal(seen.reason?.category, category, 'the signal says why')
      t.same(seen.messages, ['a', 'b'], 'what was buffered is still yielded')
      t.equal((seen.recv as RpcError | undefined)?.category, category)
      t.equal((seen.send as RpcError | undefined)?.category, category)
      t.equal(seen.err?.category, category)
      await settle()
      t.equal(set.server.stats().running, 0)
      t.equal(set.server.stats().sessions, 0)
      if (errCode === undefined) return
      await set.peer.expectSilence()
      set.peer.transport.destroy()
      await until(() => set.server.connections.size === 0)
      t.equal(set.clock.pendingTimers, 0)
    })
  }

  await t.test('its place is free when the handler has returned, not before', async t => {
    const { promise, resolve } = deferred()
    const { peer, server } = await setUp(t, 'biDir', { biDir: () => promise })
    peer.send(msg.cancel())
    await peer.expect('close')
    t.equal(server.stats().running, 1)
    resolve()
    await settle()
    t.equal(server.stats().running, 0)
  })

  await t.test('a cancel after the handler has returned drops what waits', async t => {
    const { peer, server } = await setUp(t, 'biDir', {
      async biDir (_context, stream) { for (let i = 0; i < 10; i++) stream.send(new Uint8Array(50_000)).catch(() => {}) }
    }, { open: { window: 128 * 1024 } })
    await peer.expect('payload')
    await peer.expect('payload')
    await settle()
    peer.send(msg.cancel())
    await peer.expect('close', { errCode: Category.Canceled })
    await peer.expectSilence()
    t.equal(server.stats().running, 0)
  })

  await t.test('an abort error that a handler passes on is told as the reason', async t => {
    const { peer } = await setUp(t, 'biDir', {
      async biDir (context) {
        await forEver(context)
        throw new DOMException('stopped', 'AbortError')
      }
    }, { open: { deadlineMS: 10n } })
    await settle()
    peer.send(msg.cancel())
    await peer.expect('close', { errCode: Category.Canceled })
  })
})

t.test('leaving recv early leaves the rest to the next', async t => {
  const { peer } = await setUp(t, 'biDir', {
    async biDir (_context, stream) {
      const found: string[] = []
      for await (const bytes of stream.recv()) {
        found.push(str(bytes))
        if (found.length === 2) break
      }
      found.push('|')
      for await (const bytes of stream.recv()) found.push(str(bytes))
      await stream.send(text(found.join('')))
    }
  })
  peer.send(say('a'), say('b'), say('c'), END)
  await peer.expect('payload', { payload: text('ab|c') })
})

t.test('what comes after the handler has returned is thrown away and credited', async t => {
  const { peer, conn } = await setUp(t, 'biDir', {
    async biDir (_context, stream) { for (let i = 0; i < 10; i++) stream.send(new Uint8Array(50_000)).catch(() => {}) }
  }, { open: { window: 128 * 1024 }, windowBytes: 128 * 1024, maxWindowBytes: 0 })
  const [session] = conn.connection.sessions
  peer.ignored.add('payload')
  for (let i = 0; i < 10; i++) {
    peer.send(say('x'.repeat(30_000)))
    await settle(2)
  }
  t.ok((session?.peerCredit ?? 0) > 60_000)
  t.ok(peer.all('windowUpdate').length > 2)
})

t.test('a message that is too large closes the stream with 8', async t => {
  const { peer } = await setUp(t, 'biDir', { biDir: forEver }, { maxRecvMsgSize: 10 })
  peer.send(say('x'.repeat(11)))
  await peer.expect('close', { errCode: Category.ResourceExhausted })
})

t.test('a message nobody can decompress ends the stream when it is read', async t => {
  const { peer } = await setUp(t, 'biDir', {
    async biDir (_context, stream) { for await (const bytes of stream.recv()) t.equal(str(bytes), 'fine') }
  })
  peer.send(say('fine'), say('bad', { compression: 77 }))
  await peer.expect('close', { errCode: Category.Unimplemented })
})

t.test('client streams (Send)', async t => {
  const count = async (_context: HandlerContext, stream: RecvStream): Promise<Uint8Array> => {
    let bytes = 0
    for await (const chunk of stream.recv()) bytes += chunk.byteLength
    return text(String(bytes))
  }

  await t.test('answer once, before the Close', async t => {
    const { peer } = await setUp(t, 'send', { send: count })
    peer.send(say('abc'), say('de'), END)
    await peer.expect('payload', { payload: text('5') })
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('or not at all', async t => {
    const { peer } = await setUp(t, 'send', { async send (_context, stream) { for await (const { payload } of stream.messages()) t.equal(str(payload), 'x') } })
    peer.send(say('x', { endStream: true }))
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('a large answer waits for credit, the Close behind it', async t => {
    const { peer } = await setUp(t, 'send', { async send () { return new Uint8Array(200_000) } }, { open: { window: 128 * 1024 } })
    await peer.expect('payload', { more: true })
    await peer.expect('payload', { more: true })
    await peer.expectSilence()
    peer.send(msg.update(1, 128 * 1024))
    await peer.expect('payload', { more: true })
    await peer.expect('payload', { more: false })
    await peer.expect('close', { errCode: 0 })
  })

  for (const [what, answer, errCode] of [
    ['too large', new Uint8Array(2000), Category.ResourceExhausted],
    ['text', 'text', Category.Internal],
    ['null', null, Category.Internal]
  ] as const) {
    await t.test(`an answer that is ${what} fails the call`, async t => {
      const { peer, server } = await setUp(t, 'send', { async send () { return answer as Uint8Array } }, { maxSendMsgSize: 1000 })
      await peer.expect('close', { errCode })
      t.equal(server.stats().running, 0)
    })
  }

  await t.test('canceled while the answer waits for credit', async t => {
    const { peer, server } = await setUp(t, 'send', { async send () { return new Uint8Array(200_000) } }, { open: { window: 128 * 1024 } })
    await peer.expect('payload')
    await peer.expect('payload')
    peer.send(msg.cancel())
    await peer.expect('close', { errCode: Category.Canceled })
    await settle()
    t.equal(server.stats().running, 0)
  })

  await t.test('of a 1.0 client end with EndStream and Close: the handler goes on', async t => {
    const { peer } = await setUp(t, 'send', { send: count }, { minor: 0 })
    peer.send(say('abc'), END, msg.close())
    await peer.expect('payload', { payload: text('3'), endStream: false })
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('of a 1.0 client that closes before the end are aborted', async t => {
    let reason: unknown
    const { peer } = await setUp(t, 'send', { async send (context) { await forEver(context); reason = context.signal.reason } }, { minor: 0 })
    peer.send(say('abc'), msg.close())
    await peer.expect('close')
    await settle()
    t.match(reason, { category: Category.Canceled })
  })
})

t.test('server streams (Recv)', async t => {
  const echo = async (_context: HandlerContext, stream: SendStream): Promise<void> => { await stream.send(await stream.request()) }

  await t.test('with a request', async t => {
    const { peer } = await setUp(t, 'recv', { recv: echo })
    peer.send(say('hello', { endStream: true }))
    await peer.expect('payload', { payload: text('hello') })
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('with a request in pieces', async t => {
    const { peer } = await setUp(t, 'recv', { async recv (_context, stream) { await stream.send(text(String((await stream.request()).byteLength))) } })
    peer.send(msg.payload({ payload: new Uint8Array(5000), more: true }), msg.payload({ payload: new Uint8Array(5000), endStream: true }))
    await peer.expect('payload', { payload: text('10000') })
  })

  await t.test('without one', async t => {
    const { peer } = await setUp(t, 'recv', { recv: echo })
    peer.send(END)
    await peer.expect('payload', { payload: new Uint8Array(0) })
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('in the Open', async t => {
    const { peer } = await setUp(t, 'recv', { recv: echo }, { open: { first: msg.first({ payload: text('first'), endStream: true }) } })
    await peer.expect('payload', { payload: text('first') })
  })

  await t.test('a second message is an error of the session', async t => {
    for (const messages of [[say('a'), say('b')], [say('a', { endStream: true }), END], [say('a', { endStream: true }), say('b')]]) {
      const { peer } = await setUp(t, 'recv', { recv: forEver })
      peer.send(...messages)
      const close = await peer.expect('close')
      t.not(close.errCode, 0)
    }
  })

  await t.test('of a 1.0 client have an empty request at once; what it sends is thrown away', async t => {
    const { peer } = await setUp(t, 'recv', { recv: echo }, { minor: 0 })
    peer.send(say('a'), say('b'), END)
    await peer.expect('payload', { payload: new Uint8Array(0) })
    await peer.expect('payload', { endStream: true })
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('a request that never comes ends with the call', async t => {
    let found: Error | undefined
    const { peer } = await setUp(t, 'recv', { async recv (_context, stream) { await stream.request().catch((error: Error) => { found = error }) } })
    await settle()
    peer.send(msg.cancel())
    await peer.expect('close', { errCode: Category.Canceled })
    await settle()
    t.match(found, { category: Category.Canceled })
  })
})

t.test('toward a 1.0 client', async t => {
  await t.test('a good end is EndStream and Close', async t => {
    const { peer } = await setUp(t, 'biDir', { async biDir (_context, stream) { await stream.send(text('x')) } }, { minor: 0 })
    await peer.expect('payload', { payload: text('x'), endStream: false })
    await peer.expect('payload', { endStream: true, payload: new Uint8Array(0) })
    await peer.expect('close', { errCode: 0 })
  })

  await t.test('an error is Close alone', async t => {
    const { peer } = await setUp(t, 'biDir', { async biDir (_context, stream) { await stream.send(text('x')); throw new RpcError(Category.NotFound, 'no') } }, { minor: 0 })
    await peer.expect('payload', { endStream: false })
    await peer.expect('close', { errCode: Category.NotFound })
  })

  await t.test('Close of the client is answered with code 0, and aborts the handler', async t => {
    let send: RpcError | undefined
    const { peer } = await setUp(t, 'biDir', {
      async biDir (context, stream) {
        await forEver(context)
        await stream.send(text('x')).catch((error: RpcError) => { send = error })
      }
    }, { minor: 0 })
    peer.send(msg.close())
    await peer.expect('close', { errCode: 0 })
    await settle()
    t.equal(send?.category, Category.Canceled)
  })
})

t.test('limits', async t => {
  await t.test('the OpenAck comes at once, the handler when there is a place', async t => {
    let started = 0
    const { peer } = await setUp(t, 'biDir', { async biDir (context) { started++; await forEver(context) } }, { maxConcurrentRPCs: 1, maxQueuedRPCs: 1 })
    peer.send(openOf('biDir', { openID: 2 }), openOf('biDir', { openID: 3 }))
    await peer.expect('openAck', { openID: 2, sessionID: 2, errCode: 0 })
    await peer.expect('openAck', { openID: 3, sessionID: 3, errCode: 0 })
    await peer.expect('close', { sessionID: 3, errCode: Category.ResourceExhausted })
    t.equal(started, 1)
    peer.send(msg.close())
    await peer.expect('close', { sessionID: 1 })
    await settle()
    t.equal(started, 2)
  })

  await t.test('one that is canceled while it waits is never started', async t => {
    let started = 0
    const { peer, server } = await setUp(t, 'biDir', { async biDir (context) { started++; await forEver(context) } }, { maxConcurrentRPCs: 1 })
    peer.send(openOf('biDir', { openID: 2 }), openOf('biDir', { openID: 3, deadlineMS: 50n }), msg.cancel({ sessionID: 2 }))
    await peer.expect('openAck')
    await peer.expect('openAck')
    await peer.expect('close', { sessionID: 2 })
    t.equal(server.stats().queued, 1)
    peer.send(msg.close())
    await peer.expect('close', { sessionID: 1 })
    await settle()
    t.equal(started, 2)
  })
})
