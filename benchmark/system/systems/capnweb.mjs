/** Cap'n Web over WebSocket. Its messages are JSON, bytes as base64; its streams are Web streams with flow control. */
import { RpcTarget, newWebSocketRpcSession } from 'capnweb'
import { message, produce } from '../messages.mjs'
import { WebSocket, listen, open } from '../ws.mjs'

// It reads the constants of the global class, which Node 20 does not have.
globalThis.WebSocket ??= WebSocket

export const packages = ['capnweb']
export const notes = 'JSON and base64, made by the library; streams with flow control'

const STRATEGY = { highWaterMark: 64 }

function source (count, size, make) {
  let i = 0
  return new ReadableStream({
    pull (controller) {
      if (i < count) controller.enqueue(make(i++, size))
      else controller.close()
    }
  }, STRATEGY)
}

class Api extends RpcTarget {
  echo (bytes) { return bytes }
  down (count, size) { return source(count, size, produce) }

  async up (stream) {
    let total = 0
    for await (const bytes of stream) total += bytes.length
    return total
  }

  // A TransformStream would do, but its readable side has a prototype that the library refuses on Node 20.
  both (stream) {
    const reader = stream.getReader()
    return new ReadableStream({
      async pull (controller) {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      }
    }, STRATEGY)
  }
}

export function startServer () {
  return listen((socket) => { newWebSocketRpcSession(socket, new Api()) })
}

export async function connect (port) {
  const socket = await open(port)
  const api = newWebSocketRpcSession(socket)
  return {
    unary: async (bytes) => await api.echo(bytes),
    async * serverStream (count, size) { yield * await api.down(count, size) },
    clientStream: async (count, size) => await api.up(source(count, size, message)),
    async bidi (count, size, take) {
      for await (const bytes of await api.both(source(count, size, message))) take(bytes)
    },
    close () { socket.terminate() }
  }
}
