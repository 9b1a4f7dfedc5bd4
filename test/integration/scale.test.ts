// One connection, a thousand sessions of all four kinds at once, over a real socket: every byte right, and
// afterwards nothing is left in any map.
import { createServer, connect as connectSocket } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Client } from '../../lib/client/client.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { duplexTransport } from '../../lib/transport/duplex.js'

const SESSIONS = 1000
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Message i of call n: content that is nobody else's. */
function message (n: number, i: number): Uint8Array {
  return Uint8Array.from({ length: (n * 7 + i * 131) % 900 }, (_, at) => (n + i * 3 + at) & 0xff)
}

function same (a: Uint8Array, b: Uint8Array): boolean { return Buffer.compare(a, b) === 0 }

t.test('a thousand sessions of all kinds on one connection', async (t) => {
  const server = new Server({ maxSessionsPerConnection: SESSIONS + 10 })
  // All handlers wait until everybody is here, so that the sessions really are open together.
  let waiting = 0
  let open = (): void => {}
  const everybody = new Promise<void>((resolve) => { open = resolve })
  const arrive = async (): Promise<void> => {
    if (++waiting === SESSIONS) open()
    await everybody
  }
  // A session of its own for each synchronous call needs an RPC of its own.
  for (let n = 0; n < SESSIONS; n += 4) {
    server.register('scale', 'S', `Sync${n}`, new SyncHandler(async (_context, request) => {
      await arrive()
      return request
    }))
  }
  server.register('scale', 'S', 'Send', new SendHandler(async (_context, stream) => {
    await arrive()
    let sum = 0
    let count = 0
    for await (const bytes of stream.recv()) {
      count++
      for (const byte of bytes) sum += byte
    }
    return encoder.encode(`${count} ${sum}`)
  }))
  server.register('scale', 'S', 'Recv', new RecvHandler(async (context, stream) => {
    await arrive()
    const n = Number(context.metadata.get('n'))
    for (let i = 0; i < 10; i++) await stream.send(message(n, i))
  }))
  server.register('scale', 'S', 'BiDi', new BiDirHandler(async (_context, stream) => {
    await arrive()
    for await (const bytes of stream.recv()) await stream.send(bytes)
  }))

  const listener = createServer((socket) => { server.connect(duplexTransport(socket)) })
  await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { listener.close() })
  const client = new Client(duplexTransport(connectSocket((listener.address() as AddressInfo).port, '127.0.0.1')))

  const wrong: string[] = []
  const check = (isRight: boolean, text: string): void => { if (!isRight) wrong.push(text) }
  const kinds = [
    async (n: number) => { check(same(await client.sync('scale', 'S', `Sync${n}`).call(message(n, 0)), message(n, 0)), `sync ${n}`) },
    async (n: number) => {
      const stream = client.send('scale', 'S', 'Send')
      let sum = 0
      for (let i = 0; i < 10; i++) {
        for (const byte of message(n, i)) sum += byte
        await stream.send(message(n, i))
      }
      check(decoder.decode(await stream.close()) === `10 ${sum}`, `send ${n}`)
    },
    async (n: number) => {
      let i = 0
      for await (const bytes of client.recv('scale', 'S', 'Recv', { metadata: { n: String(n) } })) check(same(bytes, message(n, i++)), `recv ${n}`)
      check(i === 10, `recv ${n}: ${i} messages`)
    },
    async (n: number) => {
      const stream = client.biDir('scale', 'S', 'BiDi')
      const sending = (async () => {
        for (let i = 0; i < 10; i++) await stream.send(message(n, i))
        stream.closeSend()
      })()
      let i = 0
      for await (const bytes of stream.recv()) check(same(bytes, message(n, i++)), `biDi ${n}`)
      check(i === 10, `biDi ${n}: ${i} messages`)
      await sending
    }
  ]
  let peak = 0
  everybody.then(() => { peak = server.stats().sessions }, () => {})
  await Promise.all(Array.from({ length: SESSIONS }, async (_, n) => { await kinds[n % 4]?.(n) }))

  t.equal(peak, SESSIONS, 'all were open together')
  t.strictSame(wrong, [])
  t.equal(client.running, 0)
  t.match(server.stats(), { connections: 1, sessions: SESSIONS / 4, running: 0, queued: 0, callsStarted: SESSIONS, callsEnded: SESSIONS, callsByCategory: { OK: SESSIONS } })
  // What stays open are the synchronous sessions, one for each RPC, ready for the next call.
  t.equal(await server.shutdown({ signal: AbortSignal.timeout(10_000) }), true)
  await client.closed
  t.match(server.stats(), { connections: 0, sessions: 0, running: 0, queued: 0 })
  t.equal(server.connections.size, 0)
})
