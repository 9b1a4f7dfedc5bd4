/** What batching alone can reach: all messages of a turn of the event loop in one WebSocket message. */
import { batched, makeClient, serve, unbatch } from '../raw-protocol.mjs'
import { listen, open } from '../ws.mjs'

export const packages = ['ws']
export const notes = 'as raw-ws, the messages of one turn in one WebSocket message'

export function startServer () {
  return listen((socket) => {
    const onMessage = serve(batched(socket))
    socket.on('message', (bytes) => { unbatch(bytes, onMessage) })
  })
}

export async function connect (port) {
  const socket = await open(port)
  const { client, onMessage } = makeClient(batched(socket), () => { socket.terminate() })
  socket.on('message', (bytes) => { unbatch(bytes, onMessage) })
  return client
}
