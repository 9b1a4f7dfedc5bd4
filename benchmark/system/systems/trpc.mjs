/** tRPC 11, wsLink. Its messages are JSON: bytes travel as base64. */
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { PushQueue, fromBase64, produce, toBase64 } from '../messages.mjs'
import { LIMITS, WebSocket, listen } from '../ws.mjs'

export const packages = ['@trpc/server']
export const notes = 'JSON and base64; wsLink waits for a timer before each send; neither client nor bidirectional streams; no back pressure'

const trpc = initTRPC.create()
const router = trpc.router({
  echo: trpc.procedure.input((value) => value).mutation(({ input }) => ({ data: toBase64(fromBase64(input.data)) })),
  down: trpc.procedure.input((value) => value).subscription(async function * ({ input }) {
    for (let i = 0; i < input.count; i++) yield { data: toBase64(produce(i, input.size)) }
  })
})

export async function startServer () {
  const listening = await listen()
  applyWSSHandler({ wss: listening.server, router, createContext: () => ({}) })
  return listening
}

class Socket extends WebSocket {
  constructor (url) { super(url, LIMITS) }
}

export async function connect (port) {
  let client
  await new Promise((resolve) => {
    client = createWSClient({ url: `ws://127.0.0.1:${port}`, WebSocket: Socket, onOpen: resolve })
  })
  const calls = createTRPCClient({ links: [wsLink({ client })] })
  return {
    unary: async (bytes) => fromBase64((await calls.echo.mutate({ data: toBase64(bytes) })).data),
    serverStream (count, size) {
      const queue = new PushQueue()
      calls.down.subscribe({ count, size }, {
        onData: ({ data }) => { queue.push(fromBase64(data)) },
        onComplete: () => { queue.end() },
        onError: (error) => { queue.fail(error) }
      })
      return queue
    },
    close () { client.close() }
  }
}
