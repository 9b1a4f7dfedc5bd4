// What a client's interceptors of streams see and may do. The caller has its stream at once; it is opened when the
// innermost has been reached, and what was sent before waits.
import t from 'tap'
import type { StreamClientInterceptor } from '../../types/client-options.js'
import { Category, RpcError } from '../../lib/errors.js'
import { Metadata } from '../../lib/metadata.js'
import { BiDirHandler, RecvHandler, SendHandler } from '../../lib/server/handlers.js'
import { RpcType } from '../../lib/wire/message.js'
import { bytes, failureOf, makeEngine, text, texts } from '../helpers/engine.js'
import type { Engine } from '../helpers/engine.js'
import { Gate } from '../helpers/plugin-app.js'

function engineWith (t: Parameters<typeof makeEngine>[0], ...streamInterceptors: StreamClientInterceptor[]): Engine {
  const engine = makeEngine(t, { client: { streamInterceptors } })
  const { server } = engine
  server.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))
  server.register('p', 'S', 'Up', new SendHandler(async (_context, stream) => bytes((await texts(stream.recv())).join(' '))))
  server.register('p', 'S', 'Down', new RecvHandler(async (context, stream) => {
    await stream.send(await stream.request())
    await stream.send(bytes(context.metadata.get('by') ?? 'end'))
  }))
  return engine
}

t.test('the first is the outermost, and each sees the end', async (t) => {
  const seen: string[] = []
  const tag = (name: string): StreamClientInterceptor => async (call, next) => {
    seen.push(`${name} in`)
    await next(call)
    seen.push(`${name} out`)
  }
  const { client } = engineWith(t, tag('a'), tag('b'))
  const stream = client.recv('p', 'S', 'Down')
  t.strictSame(seen, ['a in', 'b in'], 'they are asked at once')
  await texts(stream)
  await stream.ended
  t.strictSame(seen, ['a in', 'b in', 'b out', 'a out'])
})

t.test('they see the names, the kind and the caller\'s options', async (t) => {
  const seen: unknown[] = []
  const { client } = engineWith(t, (call, next) => {
    const { wrap, ...plain } = call
    t.type(wrap, 'function')
    seen.push(plain)
    return next(call)
  })
  client.biDir('p', 'S', 'Chat').closeSend()
  await client.send('p', 'S', 'Up').close()
  await texts(client.recv('p', 'S', 'Down', { metadata: { a: 'b' }, timeoutMs: 5000 }))
  const names = { package: 'p', service: 'S', wrappers: [] }
  t.strictSame(seen, [
    { ...names, call: 'Chat', type: RpcType.BiDirectional, options: {} },
    { ...names, call: 'Up', type: RpcType.Send, options: {} },
    { ...names, call: 'Down', type: RpcType.Recv, options: { metadata: { a: 'b' }, timeoutMs: 5000 } }
  ])
})

t.test('they may change the options', async (t) => {
  const { client } = engineWith(t, (call, next) => next({ ...call, options: { ...call.options, metadata: new Metadata(call.options.metadata).set('by', 'interceptor') } }))
  t.strictSame(await texts(client.recv('p', 'S', 'Down', { request: bytes('r') })), ['r', 'interceptor'])
})

t.test('a chain that waits first: all that was sent meanwhile follows in order, for all three kinds', async (t) => {
  const gate = new Gate()
  const { client, server } = engineWith(t, async (call, next) => {
    await gate.opened
    await next({ ...call, options: { ...call.options, metadata: { by: 'interceptor' } } })
  })
  const chat = client.biDir('p', 'S', 'Chat')
  const up = client.send('p', 'S', 'Up')
  const down = client.recv('p', 'S', 'Down', { request: bytes('r') })
  const sends = ['a', 'b', 'c'].flatMap((message) => [chat.send(bytes(message)), up.send(bytes(message))])
  chat.closeSend()
  const answer = up.close()
  const received = texts(down)
  // A call over the same connection that needs no interceptor comes and goes while they wait.
  await client.sync('p', 'S', 'Nowhere').call(bytes('')).catch(() => {})
  t.equal(server.stats().callsStarted, 0, 'nothing was opened')
  t.equal(client.running, 3)
  gate.open()
  await Promise.all(sends)
  t.strictSame(await texts(chat.recv()), ['a', 'b', 'c'])
  t.equal(text(await answer), 'a b c')
  t.strictSame(await received, ['r', 'interceptor'])
})

t.test('one that refuses, also at once: the stream fails before it was opened', async (t) => {
  const refuse: StreamClientInterceptor[] = [
    async () => { throw new RpcError(Category.FailedPrecondition, 'log in first') },
    () => { throw new RpcError(Category.FailedPrecondition, 'at once') },
    async () => { throw new TypeError('a mistake') }
  ]
  const { client, server } = engineWith(t, (call, next) => (refuse.shift() ?? next)(call, next))

  const chat = client.biDir('p', 'S', 'Chat')
  const sent = failureOf(chat.send(bytes('x')))
  t.match(await failureOf(texts(chat.recv())), { category: Category.FailedPrecondition, message: 'log in first' })
  t.match(await sent, { message: 'log in first' }, 'what waited fails as well')
  t.match(await chat.ended, { message: 'log in first' })
  t.match(chat.err, { message: 'log in first' })
  t.match(await failureOf(client.send('p', 'S', 'Up').close()), { message: 'at once' })
  t.match(await failureOf(texts(client.recv('p', 'S', 'Down'))), { category: Category.Internal, message: 'internal error', cause: { message: 'a mistake' } })
  t.equal(server.stats().callsStarted, 0)
  t.equal(client.running, 0)
  t.strictSame(await texts(client.recv('p', 'S', 'Down', { request: bytes('r') })), ['r', 'end'])
})

t.test('one that neither goes on nor refuses: the stream is Canceled, not left hanging', async (t) => {
  const { client, server } = engineWith(t, async () => {})
  t.match(await failureOf(texts(client.biDir('p', 'S', 'Chat').recv())), { category: Category.Canceled })
  t.match(await failureOf(client.send('p', 'S', 'Up').close()), { category: Category.Canceled })
  t.equal(server.stats().callsStarted, 0)
})

t.test('they see how a stream ended: well, with an error, left by its caller', async (t) => {
  const ends: unknown[] = []
  const { client, server } = engineWith(t, async (call, next) => {
    try {
      await next(call)
      ends.push('well')
    } catch (error) {
      ends.push(error)
      throw error
    }
  })
  server.register('p', 'S', 'Fail', new RecvHandler(async () => { throw new RpcError(Category.DataLoss, 'gone') }))
  await texts(client.recv('p', 'S', 'Down'))
  await failureOf(texts(client.recv('p', 'S', 'Fail')))
  const chat = client.biDir('p', 'S', 'Chat')
  await chat.send(bytes('x'))
  t.equal(text((await chat.recv().next()).value as Uint8Array), 'x')
  chat.cancel()
  await chat.ended
  await failureOf(texts(client.recv('p', 'S', 'Nowhere')))
  t.match(ends, ['well', { category: Category.DataLoss, message: 'gone' }, { category: Category.Canceled }, { category: Category.Unimplemented }])
})

t.test('a caller that cancels while they wait: nothing is opened any more', async (t) => {
  const gate = new Gate()
  let seen: unknown
  const { client, server } = engineWith(t, async (call, next) => {
    await gate.opened
    await next(call).catch((error: unknown) => { seen = error })
  })
  const chat = client.biDir('p', 'S', 'Chat')
  const controller = new AbortController()
  const down = client.recv('p', 'S', 'Down', { signal: controller.signal })
  const received = failureOf(texts(down))
  chat.cancel('changed my mind')
  controller.abort()
  t.match(await chat.ended, { category: Category.Canceled, message: 'changed my mind' })
  gate.open()
  t.match(await received, { category: Category.Canceled })
  t.equal(server.stats().callsStarted, 0)
  t.equal(client.running, 0)
  t.match(seen, { category: Category.Canceled })
})

t.test('next called again answers the end of the one stream', async (t) => {
  let ends = 0
  const { client, server } = engineWith(t, async (call, next) => {
    await next(call).catch(() => { ends++ })
    await next(call)
  })
  server.register('p', 'S', 'Fail', new RecvHandler(async () => { throw new RpcError(Category.Unavailable, 'not yet') }))
  t.match(await failureOf(texts(client.recv('p', 'S', 'Fail'))), { category: Category.Unavailable })
  t.equal(ends, 1)
  t.equal(server.stats().callsStarted, 1)
})

t.test('one that waits past the end of the connection: the stream fails, nothing hangs', async (t) => {
  const gate = new Gate()
  const { client } = engineWith(t, async (call, next) => {
    await gate.opened
    await next(call)
  })
  const chat = client.biDir('p', 'S', 'Chat')
  client.destroy()
  gate.open()
  t.match(await failureOf(texts(chat.recv())), { category: Category.Unavailable })
  t.equal(client.running, 0)
})
