// What interceptors of synchronous RPCs see and may do on the server.
import t from 'tap'
import type { UnaryServerInterceptor } from '../../types/interceptor.js'
import { Category, RpcError } from '../../lib/errors.js'
import { Metadata } from '../../lib/metadata.js'
import { SyncHandler } from '../../lib/server/handlers.js'
import type { InterceptorSource } from '../../lib/server/registry.js'
import { RpcType } from '../../lib/wire/message.js'
import { bytes, failureOf, makeEngine, text } from '../helpers/engine.js'
import type { Engine } from '../helpers/engine.js'

const echo = new SyncHandler(async (_context, request) => request)
const tag = (name: string, seen: string[]): UnaryServerInterceptor => async (call, next) => {
  seen.push(`${name} in`)
  const answer = await next(call)
  seen.push(`${name} out`)
  return answer
}

function engineWith (t: Parameters<typeof makeEngine>[0], ...unaryInterceptors: UnaryServerInterceptor[]): Engine {
  const engine = makeEngine(t, { server: { unaryInterceptors } })
  engine.server.register('p', 'S', 'Echo', echo)
  return engine
}

t.test('the first is the outermost', async (t) => {
  const seen: string[] = []
  const { client } = engineWith(t, tag('a', seen), tag('b', seen), tag('c', seen))
  await client.sync('p', 'S', 'Echo').call(bytes('x'))
  t.strictSame(seen, ['a in', 'b in', 'c in', 'c out', 'b out', 'a out'])
})

t.test('those of a registration stand inside those of the server, and are read at each call', async (t) => {
  const seen: string[] = []
  const { client, server } = makeEngine(t, { server: { unaryInterceptors: [tag('server', seen)] } })
  const own = [tag('own', seen)]
  const source: InterceptorSource = { unary: () => own, stream: () => [] }
  server.register('p', 'S', 'Echo', echo, source)
  server.register('p', 'S', 'Plain', echo)
  await client.sync('p', 'S', 'Echo').call(bytes('x'))
  t.strictSame(seen.splice(0), ['server in', 'own in', 'own out', 'server out'])
  own.push(tag('later', seen))
  await client.sync('p', 'S', 'Echo').call(bytes('x'))
  t.strictSame(seen.splice(0), ['server in', 'own in', 'later in', 'later out', 'own out', 'server out'])
  await client.sync('p', 'S', 'Plain').call(bytes('x'))
  t.strictSame(seen, ['server in', 'server out'])
})

t.test('a registration\'s alone are enough', async (t) => {
  const seen: string[] = []
  const { client, server } = makeEngine(t)
  server.register('p', 'S', 'Echo', echo, { unary: () => [tag('own', seen)], stream: () => [] })
  t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('x'))), 'x')
  t.strictSame(seen, ['own in', 'own out'])
})

t.test('they see the names, the kind, the session, the request and its metadata', async (t) => {
  const seen: unknown[] = []
  const { client } = engineWith(t, async (call, next) => {
    const { package: pkg, service, call: name, type, session, reqID, remoteAddress } = call.context
    seen.push({ pkg, service, name, type, session, reqID, remoteAddress, request: text(call.request), metadata: call.metadata.toObject(), same: call.metadata === call.context.metadata })
    return await next(call)
  })
  const method = client.sync('p', 'S', 'Echo')
  await method.call(bytes('one'), { metadata: { Tenant: 'acme' } })
  await method.call(bytes('two'))
  await method.call(bytes('three'))
  const common = { pkg: 'p', service: 'S', name: 'Echo', type: RpcType.Synchronous, remoteAddress: '192.0.2.1', same: true }
  t.match(seen, [
    { ...common, request: 'one', metadata: { tenant: 'acme' } },
    { ...common, request: 'two', metadata: {} },
    { ...common, request: 'three', metadata: {} }
  ])
  const [, two, three] = seen as { session: number, reqID: number }[]
  t.equal(two?.session, three?.session, 'one session for both')
  t.not(two?.reqID, three?.reqID)
})

t.test('they may change request, metadata and answer', async (t) => {
  const { client, server } = engineWith(t, async (call, next) => {
    const metadata = new Metadata(call.metadata).set('by', 'interceptor')
    const answer = await next({ ...call, request: bytes(text(call.request).toUpperCase()), metadata })
    return bytes(`<${text(answer)}>`)
  })
  server.register('p', 'S', 'Show', new SyncHandler(async (_context, request, metadata) => bytes(`${text(request)} ${metadata.get('by') ?? ''}`)))
  t.equal(text(await client.sync('p', 'S', 'Show').call(bytes('tea'))), '<TEA interceptor>')
})

t.test('one that never calls next answers by itself', async (t) => {
  let ran = 0
  const { client, server } = engineWith(t, async () => bytes('cached'))
  server.register('p', 'S', 'Count', new SyncHandler(async () => {
    ran++
    return bytes('')
  }))
  t.equal(text(await client.sync('p', 'S', 'Count').call(bytes('x'))), 'cached')
  t.equal(ran, 0)
})

t.test('one that calls next twice runs the handler twice', async (t) => {
  let ran = 0
  const { client, server } = engineWith(t, (call, next) => next(call).catch(() => next(call)))
  server.register('p', 'S', 'Flaky', new SyncHandler(async (_context, request) => {
    if (++ran === 1) throw new RpcError(Category.Unavailable, 'not yet')
    return request
  }))
  t.equal(text(await client.sync('p', 'S', 'Flaky').call(bytes('x'))), 'x')
  t.equal(ran, 2)
})

t.test('an RpcError refuses, with category, text and metadata; the session goes on', async (t) => {
  const { client } = engineWith(t, async (call, next) => {
    if (text(call.request) === 'bad') throw new RpcError(Category.PermissionDenied, 'not you', { metadata: { why: 'policy' } })
    return await next(call)
  })
  const method = client.sync('p', 'S', 'Echo')
  const refusal = await failureOf(method.call(bytes('bad')))
  t.match(refusal, { category: Category.PermissionDenied, message: 'not you' })
  t.strictSame(refusal.metadata.toObject(), { why: 'policy' })
  t.equal(text(await method.call(bytes('good'))), 'good')
})

t.test('a foreign error is Internal without its text, which is in the log', async (t) => {
  const { client, log } = engineWith(t, async () => { throw new RangeError('secret path') })
  t.match(await failureOf(client.sync('p', 'S', 'Echo').call(bytes('x'))), { category: Category.Internal, message: 'internal error' })
  t.match(log.find(({ level }) => level === 'error'), { msg: 'RPC handler failed', err: { message: 'secret path' }, package: 'p', service: 'S', call: 'Echo' })
})

t.test('one that throws before it is asynchronous, and one that answers no bytes', async (t) => {
  const bad: UnaryServerInterceptor[] = [() => { throw new RpcError(Category.Aborted, 'at once') }, (() => Promise.resolve('text')) as unknown as UnaryServerInterceptor]
  const { client } = engineWith(t, (call, next) => (bad.shift() ?? next)(call, next))
  t.match(await failureOf(client.sync('p', 'S', 'Echo').call(bytes('x'))), { category: Category.Aborted, message: 'at once' })
  t.match(await failureOf(client.sync('p', 'S', 'Echo').call(bytes('x'))), { category: Category.Internal })
})

t.test('trailers of interceptors and handler merge and come with the answer', async (t) => {
  const { client, server } = engineWith(t, async (call, next) => {
    call.context.setTrailer({ a: 'interceptor', b: 'interceptor' })
    const answer = await next(call)
    call.context.setTrailer({ size: String(answer.byteLength), b: call.context.trailer.get('b') + '!' })
    return answer
  })
  server.register('p', 'S', 'Trail', new SyncHandler(async (context, request) => {
    context.setTrailer({ b: 'handler' })
    return request
  }))
  const { payload, metadata } = await client.sync('p', 'S', 'Trail').exchange(bytes('tea'))
  t.equal(text(payload), 'tea')
  t.strictSame(metadata.toObject(), { a: 'interceptor', size: '3', b: 'handler!' })
})

t.test('they learn by the signal that nobody waits any more', async (t) => {
  const controller = new AbortController()
  let reason: unknown
  const { client, server } = engineWith(t, async (call, next) => {
    call.context.signal.addEventListener('abort', () => { reason = call.context.signal.reason })
    return await next(call)
  })
  server.register('p', 'S', 'Wait', new SyncHandler(async (context, request) => {
    controller.abort()
    await new Promise((resolve) => { context.signal.addEventListener('abort', resolve) })
    return request
  }))
  t.match(await failureOf(client.sync('p', 'S', 'Wait').call(bytes('x'), { signal: controller.signal })), { category: Category.Canceled })
  // The Cancel is on its way; the next call's answer comes after it.
  await client.sync('p', 'S', 'Echo').call(bytes('x'))
  t.match(reason, { category: Category.Canceled })
})
