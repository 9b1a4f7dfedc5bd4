/**
 * A soak: connections and calls of all kinds come and go for as long as wanted, some of them badly; heap,
 * handles and maps must end where they began. `npm run soak -- --seconds 600`; needs --expose-gc.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { WebSocket, WebSocketServer } from 'ws'
import { connect } from '../lib/client/index.js'
import type { Client } from '../lib/client/index.js'
import { Category, RpcError } from '../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../lib/server/handlers.js'
import { Server } from '../lib/server/server.js'
import { webSocketTransport } from '../lib/transport/websocket.js'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '600' }, connections: { type: 'string', default: '20' } } })
const seconds = Number(values.seconds)
const width = Number(values.connections)
const gc = (globalThis as { gc?: () => void }).gc
if (gc === undefined) throw new Error('run with --expose-gc')

/** How much the heap may have grown between the first and the last quarter, beside noise of this many bytes. */
const MAX_GROWTH = 1.1
const NOISE_BYTES = 2 * 1024 * 1024

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => { unhandled.push(reason) })

const server = new Server({ maxConcurrentRPCs: 200 })
server.register('soak', 'S', 'Echo', new SyncHandler((_context, request) => request))
server.register('soak', 'S', 'Fail', new SyncHandler(() => { throw new RpcError(Category.NotFound, 'as asked') }))
server.register('soak', 'S', 'Never', new SyncHandler(async (context) => {
  await once(context.signal, 'abort')
  throw context.signal.reason
}))
server.register('soak', 'S', 'Collect', new SendHandler(async (_context, stream) => {
  let bytes = 0
  for await (const message of stream.recv()) bytes += message.byteLength
  return Buffer.from(String(bytes))
}))
server.register('soak', 'S', 'Repeat', new RecvHandler(async (_context, stream) => { for (let i = 0; i < 50; i++) await stream.send(new Uint8Array(2000).fill(i)) }))
server.register('soak', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))

const http = createServer()
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false })
sockets.on('connection', (socket) => { server.serve(webSocketTransport(socket)).catch(() => { /* told to stats */ }) })
await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
const url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}/`

let calls = 0
let wrong = 0
function check (isRight: boolean): void {
  calls++
  if (!isRight) wrong++
}

async function failsWith (category: Category, call: Promise<unknown>): Promise<void> {
  const error = await call.then(() => undefined, (thrown: unknown) => thrown)
  check(RpcError.is(error) && error.category === category)
}

async function chat (client: Client): Promise<void> {
  const stream = client.biDir('soak', 'S', 'Chat')
  const sizes = [1, 70_000, 0, 300_000, 20]
  const sent = (async () => {
    for (const size of sizes) await stream.send(new Uint8Array(size).fill(size))
    stream.closeSend()
  })()
  let i = 0
  for await (const bytes of stream.recv()) check(bytes.byteLength === sizes[i++])
  await sent
}

/** One life of a connection. */
async function life (round: number): Promise<void> {
  const client = await connect(url, { WebSocket, webSocketOptions: { perMessageDeflate: false } })
  const echo = client.sync('soak', 'S', 'Echo')
  const repeat = async (): Promise<void> => {
    let count = 0
    for await (const bytes of client.recv('soak', 'S', 'Repeat')) check(bytes[0] === count++)
    check(count === 50)
  }
  const collect = async (): Promise<void> => {
    const upload = client.send('soak', 'S', 'Collect')
    for (let i = 0; i < 20; i++) await upload.send(new Uint8Array(10_000))
    check(Buffer.from(await upload.close()).toString() === '200000')
  }
  await Promise.all([
    ...Array.from({ length: 20 }, async (_, i) => { check((await echo.call(new Uint8Array(i))).byteLength === i) }),
    failsWith(Category.NotFound, client.sync('soak', 'S', 'Fail').call(new Uint8Array(0))),
    failsWith(Category.DeadlineExceeded, client.sync('soak', 'S', 'Never').call(new Uint8Array(0), { timeoutMs: 20 })),
    failsWith(Category.Canceled, client.sync('soak', 'S', 'Never').call(new Uint8Array(0), { signal: AbortSignal.timeout(10) })),
    failsWith(Category.Unimplemented, client.sync('soak', 'S', 'Missing').call(new Uint8Array(0))),
    repeat(), collect(), chat(client)
  ])
  // Half leave politely, a quarter in the middle of things, a quarter without a word.
  if (round % 4 === 2) client.recv('soak', 'S', 'Repeat').ended.catch(() => {})
  if (round % 4 === 3) client.destroy()
  else await client.close()
}

const samples: number[] = []
const end = Date.now() + seconds * 1000
let rounds = 0
let nextSample = Date.now() + Math.min(2000, seconds * 100)
while (Date.now() < end) {
  await Promise.all(Array.from({ length: width }, (_, i) => life(rounds + i)))
  rounds += width
  if (Date.now() < nextSample) continue
  nextSample = Date.now() + Math.min(10_000, seconds * 50)
  gc()
  samples.push(process.memoryUsage().heapUsed)
}

await server.shutdown({ signal: AbortSignal.timeout(5000) })
for (const socket of sockets.clients) socket.terminate()
await new Promise<void>((resolve) => { sockets.close(() => { http.close(() => { resolve() }) }) })
const quarter = Math.max(1, Math.floor(samples.length / 4))
const lowest = (part: number[]): number => Math.min(...part)
const first = lowest(samples.slice(0, quarter))
const last = lowest(samples.slice(-quarter))
const stats = server.stats()
const problems = [
  ...(wrong > 0 ? [`${wrong} wrong answers`] : []),
  ...(unhandled.length > 0 ? [`${unhandled.length} unhandled rejections, the first: ${String(unhandled[0])}`] : []),
  ...(stats.connections + stats.sessions + stats.running + stats.queued > 0 ? [`left over: ${JSON.stringify(stats)}`] : []),
  ...(last > first * MAX_GROWTH + NOISE_BYTES ? [`heap grew from ${first} to ${last} bytes`] : [])
]
console.log(JSON.stringify({ seconds, connections: rounds, calls, heapFirst: first, heapLast: last, samples: samples.length, stats }))
for (const problem of problems) console.error(`soak: ${problem}`)
if (problems.length > 0) process.exitCode = 1
