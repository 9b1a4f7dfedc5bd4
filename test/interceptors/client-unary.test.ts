// What a client's interceptors of synchronous calls see and may do.
import t from 'tap'
import type { UnaryClientInterceptor } from '../../types/client-options.js'
import { Category, RpcError } from '../../lib/errors.js'
import { Metadata } from '../../lib/metadata.js'
import { SyncHandler } from '../../lib/server/handlers.js'
import { RpcType } from '../../lib/wire/message.js'
import { bytes, failureOf, makeEngine, text } from '../helpers/engine.js'
import type { Engine } from '../helpers/engine.js'

function engineWith (t: Parameters<typeof makeEngine>[0], ...unaryInterceptors: UnaryClientInterceptor[]): Engine {
  const engine = makeEngine(t, { client: { unaryInterceptors } })
  engine.server.register('p', 'S', 'Echo', new SyncHandler(async (_context, request) => request))
  return engine
}

t.test('the first is the outermost', async (t) => {
  const seen: string[] = []
  const tag = (name: string): UnaryClientInterceptor => async (call, next) => {
    seen.push(`${name} in`)
    const answer = await next(call)
    seen.push(`${name} out`)
    return answer
  }
  const { client } = engineWith(t, tag('a'), tag('b'))
  t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('x'))), 'x')
  t.strictSame(seen, ['a in', 'b in', 'b out', 'a out'])
})

t.test('they see the names, the kind, the request and the caller\'s options', async (t) => {
  const seen: unknown[] = []
  const { client } = engineWith(t, (call, next) => {
    seen.push({ ...call, request: text(call.request) })
    return next(call)
  })
  const { signal } = new AbortController()
  await client.sync('p', 'S', 'Echo').call(bytes('x'), { signal, timeoutMs: 5000, metadata: { a: 'b' } })
  await client.sync('p', 'S', 'Echo').call(bytes('y'))
  t.strictSame(seen, [
    { package: 'p', service: 'S', call: 'Echo', type: RpcType.Synchronous, request: 'x', options: { signal, timeoutMs: 5000, metadata: { a: 'b' } } },
    { package: 'p', service: 'S', call: 'Echo', type: RpcType.Synchronous, request: 'y', options: {} }
  ])
})

t.test('they may change the request, the metadata and the answer', async (t) => {
  const { client, server } = engineWith(t, async (call, next) => {
    const metadata = new Metadata(call.options.metadata).set('authorization', 'Bearer s3cret')
    const { payload, metadata: trailers, headers } = await next({ ...call, request: bytes(text(call.request).toUpperCase()), options: { ...call.options, metadata } })
    return { payload: bytes(`<${text(payload)}>`), metadata: trailers.set('seen', 'yes'), headers }
  })
  server.register('p', 'S', 'Show', new SyncHandler(async (_context, request, metadata) => bytes(`${text(request)} ${metadata.get('tenant') ?? ''} ${metadata.get('authorization') ?? ''}`)))
  const { payload, metadata } = await client.sync('p', 'S', 'Show').exchange(bytes('tea'), { metadata: { tenant: 'acme' } })
  t.equal(text(payload), '<TEA acme Bearer s3cret>')
  t.equal(metadata.get('seen'), 'yes')
})

t.test('they may set a deadline or a signal where the caller has none', async (t) => {
  const controller = new AbortController()
  const { client, server } = engineWith(t, (call, next) => next({ ...call, options: { timeoutMs: 60_000, signal: controller.signal, ...call.options } }))
  server.register('p', 'S', 'Wait', new SyncHandler(async (context, request) => {
    t.ok(context.deadline !== undefined && context.deadline.getTime() <= Date.now() + 60_000)
    controller.abort()
    await new Promise((resolve) => { context.signal.addEventListener('abort', resolve) })
    return request
  }))
  t.match(await failureOf(client.sync('p', 'S', 'Wait').call(bytes(''))), { category: Category.Canceled })
})

t.test('example: a call that failed for a passing reason is made again', async (t) => {
  const retry = (attempts: number): UnaryClientInterceptor => async (call, next) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await next({ ...call, options: { ...call.options, metadata: new Metadata(call.options.metadata).set('attempt', String(attempt)) } })
      } catch (error) {
        if (attempt === attempts || RpcError.from(error).category !== Category.Unavailable) throw error
      }
    }
  }
  const { client, server } = engineWith(t, retry(3))
  const ran: (string | undefined)[] = []
  server.register('p', 'S', 'Flaky', new SyncHandler(async (_context, request, metadata) => {
    ran.push(metadata.get('attempt'))
    if (ran.length < 3) throw new RpcError(Category.Unavailable, 'not yet')
    return request
  }))
  server.register('p', 'S', 'Down', new SyncHandler(async () => {
    ran.push('down')
    throw new RpcError(Category.Unavailable, 'never')
  }))
  server.register('p', 'S', 'Wrong', new SyncHandler(async () => {
    ran.push('wrong')
    throw new RpcError(Category.InvalidArgument, 'no use')
  }))
  t.equal(text(await client.sync('p', 'S', 'Flaky').call(bytes('x'))), 'x')
  t.strictSame(ran.splice(0), ['1', '2', '3'])
  t.match(await failureOf(client.sync('p', 'S', 'Down').call(bytes('x'))), { category: Category.Unavailable, message: 'never' })
  t.strictSame(ran.splice(0), ['down', 'down', 'down'])
  t.match(await failureOf(client.sync('p', 'S', 'Wrong').call(bytes('x'))), { category: Category.InvalidArgument })
  t.strictSame(ran, ['wrong'])
})

t.test('one that never calls next answers by itself; nothing is sent', async (t) => {
  const { client, server } = engineWith(t, async (call) => ({ payload: bytes(`cached ${call.call}`), metadata: new Metadata(), headers: new Metadata() }))
  t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('x'))), 'cached Echo')
  t.equal(server.stats().callsStarted, 0)
})

t.test('one that refuses, also at once, rejects the call; nothing is sent', async (t) => {
  const refusals: UnaryClientInterceptor[] = [
    async () => { throw new RpcError(Category.FailedPrecondition, 'log in first') },
    () => { throw new RpcError(Category.FailedPrecondition, 'at once') }
  ]
  const { client, server } = engineWith(t, (call, next) => (refusals.shift() ?? next)(call, next))
  const echo = client.sync('p', 'S', 'Echo')
  t.match(await failureOf(echo.call(bytes('x'))), { category: Category.FailedPrecondition, message: 'log in first' })
  t.match(await failureOf(echo.exchange(bytes('x'))), { message: 'at once' })
  t.equal(server.stats().callsStarted, 0)
  t.equal(text(await echo.call(bytes('x'))), 'x')
})

t.test('they see why a call failed, also where the server was never asked', async (t) => {
  const seen: unknown[] = []
  const { client } = engineWith(t, async (call, next) => {
    try {
      return await next(call)
    } catch (error) {
      seen.push(error)
      throw error
    }
  })
  await failureOf(client.sync('p', 'S', 'Nowhere').call(bytes('x')))
  await failureOf(client.sync('p', 'S', 'Echo').call(bytes('x'), { signal: AbortSignal.abort() }))
  await client.close()
  await failureOf(client.sync('p', 'S', 'Echo').call(bytes('x')))
  t.match(seen, [{ category: Category.Unimplemented }, { category: Category.Canceled }, { category: Category.Unavailable, code: 'CLAW_ERR_CLOSED' }])
})
