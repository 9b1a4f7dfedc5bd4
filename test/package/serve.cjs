// The same as CommonJS: Node 20.19 and later can require an ES module.
'use strict'
const Fastify = require('fastify')
const rpc = require('fastify-claw')
const { connect } = require('fastify-claw/client')
const { WebSocket } = require('ws')

async function main () {
  const app = Fastify()
  await app.register(rpc) // the whole module: Fastify takes its default export
  await app.register(rpc.default, { path: '/admin', decorator: 'admin' })
  app.rpc.register('shop', 'Cart', 'Add', new rpc.SyncHandler(async (context, request) => request))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const client = await connect(`${app.listeningOrigin}/rpc`, { WebSocket })
  const answer = await client.sync('shop', 'Cart', 'Add').call(new TextEncoder().encode('hello from CommonJS'))
  console.log(new TextDecoder().decode(answer))
  await client.close()
  await app.close()
}

main()
