// Copied into a folder where only the packed package, fastify and ws are installed: one call, as an ES module.
import Fastify from 'fastify'
import rpc, { SyncHandler, rpcPlugin } from 'fastify-claw'
import { connect } from 'fastify-claw/client'
import { WebSocket } from 'ws'

const app = Fastify()
await app.register(rpc)
await app.register(rpcPlugin, { path: '/admin', decorator: 'admin' })
app.rpc.register('shop', 'Cart', 'Add', new SyncHandler(async (context, request) => request))
await app.listen({ host: '127.0.0.1', port: 0 })
const client = await connect(`${app.listeningOrigin}/rpc`, { WebSocket })
const answer = await client.sync('shop', 'Cart', 'Add').call(new TextEncoder().encode('hello from ESM'))
console.log(new TextDecoder().decode(answer))
await client.close()
await app.close()
