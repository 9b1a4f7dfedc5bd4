/**
 * What a call costs from caller to handler and back, client and server in this process over the memory transport:
 * everything but the socket. Part of `npm run bench`.
 */
import { connect } from '../lib/client/index.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../lib/server/handlers.js'
import { Server } from '../lib/server/server.js'
import { memoryPair } from '../lib/transport/memory.js'
import type { AddBench } from './wire.js'

const CALLS = 1024
const MESSAGES = 1000
const IN_FLIGHT = [1, 64, 512]
const SIZES: Array<[string, number]> = [['16 B', 16], ['4 KiB', 4096]]

/** Adds the measurements. Answers what checks them and closes the connection. */
export async function addDispatch (add: AddBench): Promise<() => Promise<void>> {
  // Other measurements run for minutes in between, and block the event loop for seconds.
  const server = new Server({ handshakeTimeoutMs: 0, keepAliveIntervalMs: 0, stallTimeoutMs: 0x7fffffff })
  let counted = 0
  server.register('bench', 'Bench', 'Echo', new SyncHandler((_context, request) => request))
  server.register('bench', 'Bench', 'EchoAsync', new SyncHandler(async (_context, request) => request))
  server.register('bench', 'Bench', 'Down', new RecvHandler(async (context, stream) => {
    const message = await stream.request()
    while (!context.signal.aborted) await stream.send(message)
  }))
  server.register('bench', 'Bench', 'Up', new SendHandler(async (_context, stream) => {
    for await (const bytes of stream.recv()) counted += bytes.byteLength
    return new Uint8Array(0)
  }))
  server.register('bench', 'Bench', 'BiDi', new BiDirHandler(async (_context, stream) => {
    for await (const bytes of stream.recv()) await stream.send(bytes)
  }))
  const [here, there] = memoryPair()
  const serving = server.serve(there)
  const client = await connect(here, { keepAliveIntervalMs: 0 })
  let received = 0

  for (const [method, name] of [['Echo', 'synchronous handler'], ['EchoAsync', 'async handler']] as const) {
    const echo = client.sync('bench', 'Bench', method)
    const request = new Uint8Array(16).fill(7)
    for (const inFlight of method === 'Echo' ? IN_FLIGHT : [64]) {
      const caller = async (calls: number): Promise<void> => { for (; calls > 0; calls--) received += (await echo.call(request)).byteLength }
      add(`unary 16 B, ${inFlight} in flight, ${name}`, CALLS, () => Promise.all(Array.from({ length: inFlight }, () => caller(CALLS / inFlight))))
    }
  }

  // One stream for each measurement, open all the while: the cost of a message, not of a call. What is written in one
  // run may be read in the next; over many runs that evens out.
  for (const [name, size] of SIZES) {
    const message = new Uint8Array(size).fill(7)

    let down: AsyncIterator<Uint8Array> | undefined
    add(`server stream ${name}`, MESSAGES, async () => {
      down ??= client.recv('bench', 'Bench', 'Down', { request: message })[Symbol.asyncIterator]()
      for (let i = 0; i < MESSAGES; i++) received += ((await down.next()).value as Uint8Array).byteLength
    })

    let up: ReturnType<typeof client.send> | undefined
    add(`client stream ${name}`, MESSAGES, async () => {
      up ??= client.send('bench', 'Bench', 'Up')
      for (let i = 0; i < MESSAGES; i++) await up.send(message)
    })

    let both: ReturnType<typeof client.biDir> | undefined
    let echoes: AsyncIterator<Uint8Array> | undefined
    add(`bidirectional ${name}`, MESSAGES, async () => {
      both ??= client.biDir('bench', 'Bench', 'BiDi')
      echoes ??= both.recv()
      const sending = (async (stream) => { for (let i = 0; i < MESSAGES; i++) await stream.send(message) })(both)
      for (let i = 0; i < MESSAGES; i++) received += ((await echoes.next()).value as Uint8Array).byteLength
      await sending
    })
  }

  return async () => {
    await client.close()
    await serving
    if (received === 0 && counted === 0) throw new Error('nothing was received')
  }
}
