// The parts of the plugin that need no socket, and what TypeScript says of a program that uses it.
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import rpc, { SyncHandler, rpcPlugin } from '../lib/index.js'
import type { HandlerContext, RpcPluginOptions, RpcScope, ServerStats } from '../lib/index.js'
import { shutdownBudget, shutdownHook } from '../lib/plugin/shutdown.js'

t.test('the budget of a shutdown', async (t) => {
  const budgets: [shutdownTimeoutMs: number, pluginTimeout: number, callsMs: number, totalMs: number][] = [
    [5000, 10_000, 4500, 5000], // the defaults
    [1000, 10_000, 900, 1000],
    [100, 10_000, 50, 100],
    [0, 10_000, 0, 50], // clients are told, calls get nothing
    [30_000, 10_000, 9000, 9500],
    [30_000, 0, 29_500, 30_000],
    [30_000, 1000, 810, 900],
    [5000, 10, 0, 9]
  ]
  for (const [shutdownTimeoutMs, pluginTimeout, callsMs, totalMs] of budgets) {
    t.strictSame(shutdownBudget(shutdownTimeoutMs, pluginTimeout), { callsMs, totalMs }, `${shutdownTimeoutMs} of ${pluginTimeout}`)
  }
})

t.test('the first hook begins all shutdowns of its app, each once', async (t) => {
  const begun: string[] = []
  const app = {}
  const hook = (app: object, name: string): () => Promise<void> => shutdownHook(app, async () => {
    begun.push(name)
    if (name === 'broken') throw new Error(name)
  })
  const first = hook(app, 'first')
  const broken = hook(app, 'broken')
  const last = hook(app, 'last')
  hook({}, 'of another app')
  await first()
  t.strictSame(begun, ['first', 'broken', 'last'])
  await t.rejects(broken(), { message: 'broken' }, 'each hook reports its own failure')
  await last()
  await last()
  t.equal(begun.length, 3)
})

t.test('the plugin is a plugin', async (t) => {
  t.equal(rpc, rpcPlugin)
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  // As fastify-cli and @fastify/autoload do it: the module itself, with options of their own.
  await app.register(import('../lib/index.js'), { prefix: '/api' })
  t.ok(app.hasPlugin('fastify-claw'))
  await app.ready()
  t.ok(app.hasRoute({ method: 'GET', url: '/api/rpc' }))
})

t.test('logCalls follows disableRequestLogging', async (t) => {
  const logs = async (disableRequestLogging: boolean, options: RpcPluginOptions): Promise<boolean> => {
    const app = Fastify({ disableRequestLogging })
    await app.register(rpc, options)
    return app.rpc.server.options.logCalls
  }
  t.strictSame(await Promise.all([logs(false, {}), logs(true, {}), logs(true, { logCalls: true }), logs(false, { logCalls: false })]), [true, false, true, false])
})

t.test('types', async (t) => {
  const app: FastifyInstance = Fastify()
  const options: RpcPluginOptions = { path: '/x', allowedOrigins: async (origin, request) => request.host === origin }
  await app.register(rpc, options)
  const scope: RpcScope = app.rpc
  scope.register('shop', 'Cart', 'Add', new SyncHandler((context: HandlerContext, request) => {
    context.log.info({ ip: context.request.ip }, 'added')
    return request
  }))
  scope.addUnaryInterceptor(async (call, next) => next({ ...call, request: call.request }))
  scope.addStreamInterceptor(async (call, next) => next(call))
  const stats: ServerStats = scope.stats()
  t.equal(stats.connections, 0)
  const misuses = (): void => {
    // @ts-expect-error -- a function is no handler
    scope.register('shop', 'Cart', 'Wrong', async () => {})
    // @ts-expect-error -- there is no such option
    app.register(rpc, { pth: '/rpc' })
    // @ts-expect-error -- the decorator cannot be assigned
    app.rpc = scope
  }
  t.type(misuses, 'function')
})
