/** socket.io over WebSocket only: binary events with acknowledgements. It has no streams: they are made of events. */
import { createServer } from 'node:http'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'
import { Lead, PushQueue, message, produce } from '../messages.mjs'

export const packages = ['socket.io']
export const notes = 'binary events (two WebSocket messages each); streams made of events, acknowledged every 512 messages or 4 MiB'

/** Every how many messages a producer waits for an acknowledgement: the library has no back pressure. */
const ackEvery = (size) => Math.max(1, Math.min(512, (4 << 20) / size | 0))

export async function startServer () {
  const http = createServer()
  const server = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false, maxHttpBufferSize: 64 << 20 })
  server.on('connection', (socket) => {
    let total = 0
    socket.on('echo', (bytes, ack) => { ack(bytes) })
    socket.on('down', async (count, size, isAcknowledged) => {
      const every = isAcknowledged ? ackEvery(size) : Infinity
      for (let i = 0; i < count && socket.connected; i++) {
        if ((i + 1) % every === 0) await new Promise((resolve) => { socket.emit('message', produce(i, size), resolve) })
        else socket.emit('message', produce(i, size))
      }
      socket.emit('end')
    })
    socket.on('up', (bytes, ack) => {
      total += bytes.length
      ack?.()
    })
    socket.on('up end', (ack) => {
      ack(total)
      total = 0
    })
    socket.on('both', (bytes) => { socket.emit('message', bytes) })
    socket.on('both end', () => { socket.emit('end') })
  })
  await new Promise((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  return { port: http.address().port, close: () => server.close() }
}

export function connect (port) {
  return new Promise((resolve, reject) => {
    const socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], forceNew: true, reconnection: false, perMessageDeflate: false })
    let queue
    socket.on('message', (bytes, ack) => {
      queue.push(bytes)
      ack?.()
    })
    socket.on('end', () => { queue.end() })
    socket.on('connect_error', reject)
    socket.on('connect', () => { resolve(client) })
    const client = {
      unary: (bytes) => new Promise((resolve) => { socket.emit('echo', bytes, resolve) }),
      serverStream (count, size, isAcknowledged = true) {
        queue = new PushQueue()
        socket.emit('down', count, size, isAcknowledged)
        return queue
      },
      async clientStream (count, size) {
        for (let i = 0; i < count; i++) {
          if ((i + 1) % ackEvery(size) === 0) await new Promise((resolve) => { socket.emit('up', message(i, size), resolve) })
          else socket.emit('up', message(i, size))
        }
        return new Promise((resolve) => { socket.emit('up end', resolve) })
      },
      async bidi (count, size, take) {
        const lead = new Lead(size)
        const ended = new Promise((resolve) => {
          queue = {
            push (bytes) {
              lead.giveBack()
              take(bytes)
            },
            end: resolve
          }
        })
        for (let i = 0; i < count; i++) {
          const room = lead.take()
          if (room !== undefined) await room
          socket.emit('both', message(i, size))
        }
        socket.emit('both end')
        await ended
      },
      close () { socket.disconnect() }
    }
  })
}
