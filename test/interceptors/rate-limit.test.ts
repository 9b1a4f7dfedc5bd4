// Example: at most so many calls of each peer, counted by rate-limiter-flexible. Its stores for several processes
// (Redis, Postgres and more) have the same interface.
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import type { RateLimiterAbstract } from 'rate-limiter-flexible'
import t from 'tap'
import type { HandlerContext } from '../../types/handler-context.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import { Category, RpcError } from '../../lib/errors.js'
import { RecvHandler, SyncHandler } from '../../lib/server/handlers.js'
import { bytes, failureOf, makeEngine, text, texts } from '../helpers/engine.js'

// --- the example

function rateLimit (limiter: RateLimiterAbstract, keyOf: (context: HandlerContext) => string): { unary: UnaryServerInterceptor, stream: StreamServerInterceptor } {
  const consume = async (context: HandlerContext): Promise<void> => {
    try {
      await limiter.consume(keyOf(context))
    } catch (refusal) {
      // Anything else is a store that cannot be reached: a foreign error, Internal to the caller and in the log.
      if (!(refusal instanceof RateLimiterRes)) throw refusal
      throw new RpcError(Category.ResourceExhausted, 'too many calls', { metadata: { 'retry-after-ms': String(refusal.msBeforeNext) } })
    }
  }
  return {
    unary: async (call, next) => {
      await consume(call.context)
      return await next(call)
    },
    stream: async (call, next) => {
      await consume(call.context)
      return await next(call)
    }
  }
}

// --- what it does

t.test('beyond the limit calls are ResourceExhausted and say when to come again', async (t) => {
  const { unary, stream } = rateLimit(new RateLimiterMemory({ points: 3, duration: 60 }), (context) => context.metadata.get('tenant') ?? context.remoteAddress ?? '')
  const { client, server } = makeEngine(t, { server: { unaryInterceptors: [unary], streamInterceptors: [stream] } })
  server.register('p', 'S', 'Echo', new SyncHandler(async (_context, request) => request))
  server.register('p', 'S', 'Down', new RecvHandler(async (_context, stream) => { await stream.send(bytes('one')) }))
  const echo = client.sync('p', 'S', 'Echo')

  t.equal(text(await echo.call(bytes('1'))), '1')
  t.equal(text(await echo.call(bytes('2'))), '2')
  t.strictSame(await texts(client.recv('p', 'S', 'Down')), ['one'], 'streams count as well')
  const refused = await failureOf(echo.call(bytes('4')))
  t.match(refused, { category: Category.ResourceExhausted, message: 'too many calls' })
  const wait = Number(refused.metadata.get('retry-after-ms'))
  t.ok(wait > 0 && wait <= 60_000, `${wait} ms`)
  t.match(await failureOf(texts(client.recv('p', 'S', 'Down'))), { category: Category.ResourceExhausted })
  t.equal(text(await echo.call(bytes('5'), { metadata: { tenant: 'acme' } })), '5', 'others have their own count')
})

t.test('a store that cannot be reached is Internal, with the reason in the log', async (t) => {
  const broken = new RateLimiterMemory({ points: 1, duration: 60 })
  broken.consume = () => Promise.reject(new Error('ECONNREFUSED'))
  const { unary } = rateLimit(broken, () => 'all')
  const { client, server, log } = makeEngine(t, { server: { unaryInterceptors: [unary] } })
  server.register('p', 'S', 'Echo', new SyncHandler(async (_context, request) => request))
  t.match(await failureOf(client.sync('p', 'S', 'Echo').call(bytes('1'))), { category: Category.Internal, message: 'internal error' })
  t.match(log.find(({ level }) => level === 'error'), { err: { message: 'ECONNREFUSED' }, call: 'Echo' })
})
