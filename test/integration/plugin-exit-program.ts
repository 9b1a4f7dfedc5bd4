// Run by plugin-exit.test.ts in a process of its own: serves and calls, closes, and then must have nothing left.
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/connect.js'
import { rpcPlugin } from '../../lib/plugin.js'
import { BiDirHandler, SyncHandler } from '../../lib/server/handlers.js'

const [order, who] = process.argv.slice(2)
const app = Fastify()
if (order === 'before') await app.register(websocket)
await app.register(rpcPlugin, { shutdownTimeoutMs: 1000 })
if (order === 'after') await app.register(websocket)
app.rpc
  .register('p', 'S', 'Echo', new SyncHandler((_context, request) => request))
  .register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))
await app.listen({ host: '127.0.0.1', port: 0 })
const url = `${app.listeningOrigin.replace('http', 'ws')}/rpc`
const client = await connect(url, { WebSocket })
await client.sync('p', 'S', 'Echo').call(new Uint8Array(1000), { timeoutMs: 60_000 })
const chat = client.biDir('p', 'S', 'Chat', { timeoutMs: 60_000 })
await chat.send(new Uint8Array(10))
await chat.recv()[Symbol.asyncIterator]().next()
if (who === 'client') await client.close()
await app.close()
if (who === 'server') await client.closed
console.log('closed')
