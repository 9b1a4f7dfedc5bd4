// @ts-check
/** Builds the example: REST, RPC and a page on one port. Listens to nothing; server.mjs and the tests do that. */
import Fastify from 'fastify'
import rpc from 'fastify-claw'
import { echo, registerEcho } from './echo.mjs'
import { servePage } from './page-files.mjs'

/**
 * @param {import('fastify').FastifyServerOptions} [fastifyOptions]
 * @param {import('fastify-claw').RpcPluginOptions} [rpcOptions]
 */
export async function buildApp (fastifyOptions = {}, rpcOptions = {}) {
  const app = Fastify(fastifyOptions)
  await app.register(rpc, { path: '/rpc', ...rpcOptions })
  registerEcho(app.rpc)

  app.get('/api/echo/:text', async (request, reply) => {
    const { text } = /** @type {{ text: string }} */ (request.params)
    reply.type('text/plain; charset=utf-8')
    return Buffer.from(echo(Buffer.from(text)))
  })
  app.get('/api/stats', async () => app.rpc.server.stats())
  app.get('/api/rpcs', async () => [...app.rpc.registry.handlers()])

  servePage(app)
  return app
}
