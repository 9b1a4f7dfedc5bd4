/** The `ws` that the project itself uses, whatever version a peer has brought along. */
import { createRequire } from 'node:module'

const { WebSocket, WebSocketServer } = createRequire(new URL('../../package.json', import.meta.url))('ws')

const LIMITS = { perMessageDeflate: false, maxPayload: 64 << 20 }

/** A WebSocketServer on a free port of the loopback, and what a system's `startServer` answers. */
export async function listen (onConnection) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...LIMITS })
  if (onConnection !== undefined) server.on('connection', (socket) => { onConnection(socket.on('error', () => {})) })
  await new Promise((resolve, reject) => { server.once('listening', resolve).once('error', reject) })
  return {
    server,
    port: server.address().port,
    close () {
      for (const socket of server.clients) socket.terminate()
      server.close()
    }
  }
}

/** A WebSocket of a client, open. */
export function open (port) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, LIMITS)
    socket.on('error', reject).on('open', () => { resolve(socket) })
  })
}

export { LIMITS, WebSocket, WebSocketServer }
