/** @fastify/websocket on the server, `ws` on the client; the same protocol as raw-ws. */
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { serve, singly } from '../raw-protocol.mjs'
import { LIMITS } from '../ws.mjs'

export const packages = ['@fastify/websocket', 'fastify']
export const notes = 'as raw-ws, through a route of @fastify/websocket'

export async function startServer () {
  const app = Fastify({ logger: false })
  await app.register(websocket, { options: LIMITS })
  app.register(async (scope) => {
    scope.get('/', { websocket: true }, (socket) => { socket.on('error', () => {}).on('message', serve(singly(socket))) })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { port: app.server.address().port, close: () => app.close() }
}

export { connect } from './raw-ws.mjs'
