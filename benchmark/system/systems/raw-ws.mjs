/** The base: the package `ws`, one binary message for each call, found again by a number of four bytes. */
import { makeClient, serve, singly } from '../raw-protocol.mjs'
import { listen, open } from '../ws.mjs'

export const packages = ['ws']
export const notes = 'the server sends back the buffer that it received; no names, no dispatch'

export function startServer () {
  return listen((socket) => { socket.on('message', serve(singly(socket))) })
}

/** Also the client of fastify-ws. */
export async function connect (port) {
  const socket = await open(port)
  const { client, onMessage } = makeClient(singly(socket), () => { socket.terminate() })
  socket.on('message', onMessage)
  return client
}
