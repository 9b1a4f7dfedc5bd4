/** This project, as built in dist: the Fastify plugin on the server, the client over `ws`. */
import Fastify from 'fastify'
import { message, produce } from '../messages.mjs'
import { LIMITS, WebSocket } from '../ws.mjs'

const DIST = process.env.CLAW_DIST ?? new URL('../../../dist/', import.meta.url).href

export const notes = 'through the Fastify plugin, default options'
export const packages = ['fastify', '@fastify/websocket', 'ws']

const NAME = ['bench', 'Bench']
const encoder = new TextEncoder()
const decoder = new TextDecoder()
const numbers = (bytes) => decoder.decode(bytes).split(' ').map(Number)

/** @param options `server`: options of the plugin. */
export async function startServer ({ server = {} } = {}) {
  const { BiDirHandler, RecvHandler, SendHandler, SyncHandler, rpcPlugin } = await import(new URL('lib/index.js', DIST).href)
  const app = Fastify({ logger: false })
  await app.register(rpcPlugin, server)
  app.rpc.register(...NAME, 'Echo', new SyncHandler((_context, request) => request))
  app.rpc.register(...NAME, 'Down', new RecvHandler(async (_context, stream) => {
    const [count, size] = numbers(await stream.request())
    for (let i = 0; i < count; i++) await stream.send(produce(i, size))
  }))
  app.rpc.register(...NAME, 'Up', new SendHandler(async (_context, stream) => {
    let bytes = 0
    for await (const received of stream.recv()) bytes += received.byteLength
    return encoder.encode(String(bytes))
  }))
  app.rpc.register(...NAME, 'BiDi', new BiDirHandler(async (_context, stream) => {
    for await (const received of stream.recv()) await stream.send(received)
  }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { port: app.server.address().port, close: () => app.close() }
}

let clientLibrary

/** @param options `zeroMask`: no masking in JavaScript. `client`: options of `connect`. */
export async function connect (port, { zeroMask = false, client: options = {} } = {}) {
  clientLibrary ??= await import(new URL('lib/client/index.js', DIST).href)
  const webSocketOptions = { ...LIMITS, ...(zeroMask && { generateMask: (key) => { key.fill(0) } }) }
  const client = await clientLibrary.connect(`ws://127.0.0.1:${port}/rpc`, { WebSocket, webSocketOptions, ...options })
  const echo = client.sync(...NAME, 'Echo')
  return {
    unary: (bytes) => echo.call(bytes),
    serverStream: (count, size) => client.recv(...NAME, 'Down', { request: encoder.encode(`${count} ${size}`) }),
    async clientStream (count, size) {
      const stream = client.send(...NAME, 'Up')
      for (let i = 0; i < count; i++) await stream.send(message(i, size))
      return numbers(await stream.close())[0]
    },
    async bidi (count, size, take) {
      const stream = client.biDir(...NAME, 'BiDi')
      const sending = (async () => {
        for (let i = 0; i < count; i++) await stream.send(message(i, size))
        stream.closeSend()
      })()
      for await (const received of stream.recv()) take(received)
      await sending
    },
    close () { client.destroy() }
  }
}
