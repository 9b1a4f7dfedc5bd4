/** rsocket-js 1.0 alpha over WebSocket, with the project's `ws` in place of the old one it brings. */
import { Buffer } from 'node:buffer'
import { RSocketConnector, RSocketServer } from 'rsocket-core'
import { WebsocketClientTransport } from 'rsocket-websocket-client'
import { WebsocketServerTransport } from 'rsocket-websocket-server'
import { PushQueue, asBuffer, message, produce } from '../messages.mjs'
import { LIMITS, WebSocket, WebSocketServer } from '../ws.mjs'

export const packages = ['rsocket-core']
export const notes = 'alpha; flow control by number of messages, window 1024 messages or 8 MiB'

const windowOf = (size) => Math.max(2, Math.min(1024, (8 << 20) / size | 0))
const COUNT = 1
const ignore = { onExtension () {}, cancel () {} }

/** Produces messages as far as it was asked to. */
function producer (count, size, make, sink) {
  let i = 0
  let left = count
  let credit = 0
  let isRunning = false
  return {
    request (n) {
      credit += n
      if (isRunning) return
      isRunning = true
      for (; credit > 0 && left > 0; credit--) {
        left--
        const data = asBuffer(make(i++, size))
        sink.onNext({ data }, i === count)
      }
      isRunning = false
    },
    cancel () { left = 0 },
    onExtension () {}
  }
}

function pair (first, second) {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeUInt32BE(first, 0)
  bytes.writeUInt32BE(second, 4)
  return bytes
}

const responder = {
  requestResponse ({ data }, sink) {
    sink.onNext({ data }, true)
    return ignore
  },
  requestStream ({ data }, initial, sink) {
    const source = producer(data.readUInt32BE(0), data.readUInt32BE(4), produce, sink)
    queueMicrotask(() => { source.request(initial) })
    return source
  },
  // The first payload says what the others are for and how large they are.
  requestChannel ({ data: what }, _initial, _isCompleted, sink) {
    const isCounted = what.readUInt32BE(0) === COUNT
    const window = windowOf(what.readUInt32BE(4))
    let total = 0
    let taken = 0
    queueMicrotask(() => { sink.request(window) })
    return {
      ...ignore,
      onNext ({ data }, isLast) {
        if (!isCounted) sink.onNext({ data }, isLast)
        else {
          total += data.length
          if (isLast) {
            const answer = Buffer.allocUnsafe(8)
            answer.writeDoubleBE(total)
            sink.onNext({ data: answer }, true)
          }
        }
        if (isLast || ++taken < window / 2) return
        sink.request(taken)
        taken = 0
      },
      onError () {},
      onComplete () {},
      request () {}
    }
  }
}

export async function startServer () {
  let sockets
  const server = new RSocketServer({
    transport: new WebsocketServerTransport({
      host: '127.0.0.1',
      port: 0,
      wsCreator: () => (sockets = new WebSocketServer({ host: '127.0.0.1', port: 0, ...LIMITS }))
    }),
    acceptor: { accept: async () => responder }
  })
  await server.bind()
  return {
    port: sockets.address().port,
    close () {
      for (const socket of sockets.clients) socket.terminate()
      sockets.close()
    }
  }
}

export async function connect (port) {
  const rsocket = await new RSocketConnector({
    setup: { keepAlive: 60_000, lifetime: 600_000 },
    transport: new WebsocketClientTransport({ url: `ws://127.0.0.1:${port}`, wsCreator: (url) => new WebSocket(url, LIMITS) })
  }).connect()

  function channel (mode, count, size, take) {
    return new Promise((resolve, reject) => {
      const window = windowOf(size)
      let source
      let taken = 0
      const request = rsocket.requestChannel({ data: pair(mode, size) }, window, false, {
        ...ignore,
        onNext ({ data }, isLast) {
          take(data)
          if (isLast) return resolve()
          if (++taken < window / 2) return
          request.request(taken)
          taken = 0
        },
        onError: reject,
        onComplete: resolve,
        request (n) { (source ??= producer(count, size, message, request)).request(n) }
      })
    })
  }

  return {
    unary: (bytes) => new Promise((resolve, reject) => {
      rsocket.requestResponse({ data: asBuffer(bytes) }, { onNext: ({ data }) => { resolve(data) }, onError: reject, onComplete () {}, onExtension () {} })
    }),
    serverStream (count, size) {
      const queue = new PushQueue()
      const window = windowOf(size)
      let taken = 0
      const request = rsocket.requestStream({ data: pair(count, size) }, window, {
        onNext ({ data }, isLast) {
          queue.push(data)
          if (isLast) return queue.end()
          if (++taken < window / 2) return
          request.request(taken)
          taken = 0
        },
        onError: (error) => { queue.fail(error) },
        onComplete: () => { queue.end() },
        onExtension () {}
      })
      return queue
    },
    async clientStream (count, size) {
      let total
      await channel(COUNT, count, size, (data) => { total = data.readDoubleBE(0) })
      return total
    },
    bidi: (count, size, take) => channel(0, count, size, take),
    close () { rsocket.close() }
  }
}
