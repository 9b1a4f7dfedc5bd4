/**
 * The Fastify plugin: decorates the app with `rpc`, serves the engine on a WebSocket route that runs the app's hooks,
 * and ties the engine's shutdown into `app.close()`. The parts are in lib/plugin. Knows the engine only by its face
 * (Server) and nothing of the protocol.
 */
import type { WebSocket } from '@fastify/websocket'
import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, RegisterOptions } from 'fastify'
import '../types/fastify.js'
import type { RpcPluginOptions, ServerOptions } from '../types/options.js'
import { Category, ErrorCode, RpcError } from './errors.js'
import { Health } from './health.js'
import { PLUGIN_OPTIONS, SERVER_OPTIONS, resolveOptions } from './options.js'
import type { Resolved } from './options.js'
import { originCheck } from './plugin/origin.js'
import { originRefused, serverRefused, upgradeRequired } from './plugin/refusals.js'
import { RpcScopes } from './plugin/rpc-scope.js'
import { shutDown, shutdownBudget, shutdownHook } from './plugin/shutdown.js'
import { UpgradeDoor, isInjected } from './plugin/upgrades.js'
import { registerReflection } from './reflection.js'
import { misuse } from './server/misuse.js'
import { Server } from './server/server.js'
import { webSocketTransport } from './transport/websocket.js'

/**
 * What one WebSocket message may hold beyond the largest payload and metadata: the struct around them (16 KiB in the
 * engine) and whatever else a peer put into the same batch (a 1.1 peer at most 128 KiB).
 */
const MESSAGE_SLACK_BYTES = 256 * 1024
/** `ws` keeps its limit in 32 bits. */
const MAX_WS_PAYLOAD = 0x7fffffff

/** What @fastify/under-pressure adds, if it is there. */
type PressureGauge = FastifyInstance & { isUnderPressure?: () => boolean }

async function plugin (app: FastifyInstance, given: RpcPluginOptions & RegisterOptions): Promise<void> {
  // Fastify's own options of `register` come along with ours; they hold for the scope that the route lives in.
  const { prefix, logLevel, logSerializers, ...own } = given
  const register = { ...(prefix !== undefined && { prefix }), ...(logLevel !== undefined && { logLevel }), ...(logSerializers !== undefined && { logSerializers }) }
  const options = resolveOptions<RpcPluginOptions>({ ...SERVER_OPTIONS, ...PLUGIN_OPTIONS }, own, (message) => misuse(ErrorCode.OPTION_INVALID, message))
  const isAllowedOrigin = originCheck(options.allowedOrigins)
  const server = await Server.create(serverOptions(options, logsCalls(app, own)), { overload: () => overload(app) })
  const health = options.health ? new Health(server) : undefined
  if (options.reflection !== false) registerReflection(server, options.reflection === true ? undefined : options.reflection)
  const scopes = new RpcScopes(server, app, health)
  app.decorate(options.decorator, { getter (this: FastifyInstance) { return scopes.of(this) } })

  const door = new UpgradeDoor(app.server, () => server.isDraining)
  const isHostsWebSocket = app.hasDecorator('websocketServer')
  await app.register(async (scope) => {
    if (!isHostsWebSocket) await door.registerWebSocket(scope, maxPayload(options))
    scope.route({
      method: 'GET',
      url: options.path,
      schema: HIDDEN,
      // The Origin before anything is looked up, the limits once more when nothing asynchronous comes after.
      onRequest: async (request) => {
        if (!request.ws) return
        checkRefusal(server)
        if (!await isAllowedOrigin(request)) throw originRefused(String(request.headers.origin))
      },
      preHandler: (request, _reply, done) => {
        if (request.ws) checkRefusal(server)
        done()
      },
      handler: (_request, reply) => answerPlain(server, reply),
      wsHandler: (socket, request) => {
        // The host's own preClose closes every socket that is in there at once and without a code.
        if (isHostsWebSocket) scope.websocketServer.clients?.delete(socket)
        serve(server, socket, request)
      }
    })
    if (isHostsWebSocket) return
    app.addHook('onReady', async () => {
      // Nobody else came: the app's tests may want to reach ours.
      if (app.hasDecorator('websocketServer') || app.hasDecorator('injectWS')) return
      app.decorate('websocketServer', scope.websocketServer)
      app.decorate('injectWS', scope.injectWS)
    })
  }, register)

  const budget = budgetOf(app, options)
  app.addHook('onReady', async () => { door.open() })
  app.addHook('preClose', shutdownHook(app.initialConfig, async () => { await shutDown(server, budget, app.log) }))
  app.addHook('onClose', async () => { door.close() })
}

/** What one connection may send before the others have their turn; Node reads up to 2 MiB of one socket at a time. */
const REST_BYTES = 256 * 1024

/** Hidden from @fastify/swagger, as routes with `websocket: true` are. */
const HIDDEN: object = { hide: true }

/**
 * `app.register(rpc, options)`: Claw RPC on one WebSocket route. Rejects with CLAW_ERR_OPTION_INVALID, and with Fastify's
 * own errors when the decorator or the route exists already.
 */
export const rpcPlugin: FastifyPluginAsync<RpcPluginOptions> = fp(plugin, { fastify: '5.x', name: 'fastify-claw' })

function serverOptions (options: Resolved<RpcPluginOptions>, logCalls: boolean): ServerOptions {
  return { ...Object.fromEntries(Object.keys(SERVER_OPTIONS).map((name) => [name, options[name as keyof ServerOptions]])), logCalls }
}

/** An app that does not log its requests wants no line for each call either, unless it says so. */
function logsCalls (app: FastifyInstance, { logCalls }: RpcPluginOptions): boolean {
  return logCalls ?? app.initialConfig.disableRequestLogging !== true
}

function overload (app: PressureGauge): RpcError | undefined {
  return app.isUnderPressure?.() === true ? new RpcError(Category.Unavailable, 'server is under pressure') : undefined
}

function maxPayload ({ maxRecvMsgSize, maxMetadataBytes }: Resolved<RpcPluginOptions>): number {
  return Math.min(maxRecvMsgSize + maxMetadataBytes + MESSAGE_SLACK_BYTES, MAX_WS_PAYLOAD)
}

function budgetOf (app: FastifyInstance, { shutdownTimeoutMs }: Resolved<RpcPluginOptions>): ReturnType<typeof shutdownBudget> {
  const { pluginTimeout = 0 } = app.initialConfig
  const budget = shutdownBudget(shutdownTimeoutMs, pluginTimeout)
  if (budget.totalMs < shutdownTimeoutMs) app.log.warn({ shutdownTimeoutMs, pluginTimeout, used: budget.totalMs }, 'shutdownTimeoutMs is cut: app.close() would reject at pluginTimeout')
  return budget
}

function checkRefusal (server: Server): void {
  const { refusal } = server
  if (refusal !== undefined) throw serverRefused(refusal)
}

function serve (server: Server, socket: WebSocket, request: FastifyRequest): void {
  const { log } = request
  const transport = webSocketTransport(socket, {
    remoteAddress: request.ip,
    // injectWS: writer and reader are in one process and would share the bytes.
    copiesWrites: isInjected(request.raw),
    restBytes: REST_BYTES
  })
  try {
    server.connect(transport, { request, log })
  } catch (error) {
    // A drain or the limit on connections was faster than the upgrade; the transport is gone. Anything else is a fault.
    if (RpcError.is(error)) return log.info({ err: error }, 'RPC connection refused')
    log.error({ err: error }, 'RPC connection failed')
    transport.destroy()
  }
}

function answerPlain (server: Server, reply: FastifyReply): FastifyReply {
  checkRefusal(server)
  const { error, headers } = upgradeRequired()
  return reply.headers(headers).send(error)
}
