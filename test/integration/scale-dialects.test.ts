// A thousand calls of all four kinds at once on one connection, in every dialect the two sides can agree on, with time
// standing still: every byte is right and afterwards nothing is left, not even a timer.
import t from 'tap'
import { gzip } from '../../lib/compression/gzip.js'
import { Client } from '../../lib/client/client.js'
import { RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { memoryPair } from '../../lib/transport/memory.js'
import type { ClientOptions } from '../../types/client-options.js'
import type { ServerOptions } from '../../types/options.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { deferred, text, until } from '../helpers/scripted-peer.js'

const CALLS = 1000

/**
 * Content of message i of call n; some requests are larger than any window. Not those of streams: who waits for all
 * the others before it reads would keep its place for large messages from them.
 */
function content (n: number, i: number): Uint8Array {
  const length = n % 100 === 0 && i === 0 ? 300_000 : (n * 37 + i * 411) % 1500
  return new Uint8Array(length).map((_, at) => (n + i * 3 + (at >> 3)) & 0xff)
}
const isContent = (bytes: Uint8Array, n: number, i: number): boolean => Buffer.compare(bytes, content(n, i)) === 0

const DIALECTS: Record<string, [ServerOptions, ClientOptions]> = {
  1.1: [{}, {}],
  '1.1, packed': [{ packing: true }, { packing: true }],
  '1.1, compressed': [{ compression: 'gzip', compressionMinBytes: 100 }, { compression: 1, compressionMinBytes: 100, compressors: [gzip()] }],
  '1.1, small windows': [{ windowBytes: 128 * 1024, maxWindowBytes: 0, reassemblyPlaces: 2 }, { windowBytes: 128 * 1024, maxWindowBytes: 0 }],
  '1.1, few at a time': [{ maxConcurrentRPCs: 50, maxRequestsPerConnection: 20 }, {}],
  // A 1.0 connection that holds too much unread stops reading, and with it the calls that the others wait for.
  '1.0': [{ minorVersion: 0, recvBufferBytes: 1 << 26 }, {}],
  '1.0, packed': [{ packing: true, recvBufferBytes: 1 << 26 }, { minorVersion: 0, packing: true }]
}

for (const [dialect, [serverOptions, clientOptions]] of Object.entries(DIALECTS)) {
  t.test(`a thousand calls at once: ${dialect}`, { timeout: 60_000 }, async t => {
    const clock = new FakeClock()
    const server = new Server({ maxSessionsPerConnection: 0, keepAliveIntervalMs: 0, ...serverOptions }, { clock })
    // Where all may run together they wait until they do.
    const together = serverOptions.maxConcurrentRPCs === undefined
    const everybody = deferred()
    let here = 0
    let most = 0
    const arrive = async (): Promise<void> => {
      most = Math.max(most, server.stats().running)
      if (++here === CALLS) everybody.resolve()
      if (together) await everybody.promise
    }
    server.register('p', 'S', 'Sync', new SyncHandler(async (context, request) => {
      await arrive()
      const n = Number(context.metadata.get('n'))
      if (!isContent(request, n, 0)) throw new Error('wrong request')
      if (n % 100 === 4) throw new RpcError(9, `refused ${n}`)
      return content(n, 1)
    }))
    server.register('p', 'S', 'BiDir', new BiDirHandler(async (context, stream) => {
      await arrive()
      const n = Number(context.metadata.get('n'))
      let i = 0
      for await (const bytes of stream.recv()) {
        if (!isContent(bytes, n, i++)) throw new Error('wrong message')
        await stream.send(bytes)
      }
      context.setTrailer({ count: String(i) })
    }))
    server.register('p', 'S', 'Send', new SendHandler(async (context, stream) => {
      await arrive()
      const n = Number(context.metadata.get('n'))
      let i = 0
      for await (const bytes of stream.recv()) if (!isContent(bytes, n, i++)) throw new Error('wrong message')
      return text(String(i))
    }))
    server.register('p', 'S', 'Recv', new RecvHandler(async (context, stream) => {
      await arrive()
      const n = Number(context.metadata.get('n'))
      for (let i = 0; i < 5; i++) await stream.send(content(n, i))
    }))

    const [one, other] = memoryPair()
    const conn = server.connect(one)
    const client = new Client(other, { keepAliveIntervalMs: 0, ...clientOptions }, clock)
    const outcomes: Record<string, number> = {}
    const note = (what: string): void => { outcomes[what] = (outcomes[what] ?? 0) + 1 }

    const all = Promise.all(Array.from({ length: CALLS }, async (_, n) => {
      const options = { metadata: { n: String(n) }, timeoutMs: 60_000, signal: new AbortController().signal }
      switch (n % 4) {
        case 0:
          try {
            note(isContent(await client.sync('p', 'S', 'Sync').call(content(n, 0), options), n, 1) ? 'sync' : 'wrong')
          } catch (error) {
            note((error as Error).message === `refused ${n}` ? 'refused' : String(error))
          }
          break
        case 1: {
          const stream = client.biDir('p', 'S', 'BiDir', options)
          const sending = (async () => {
            for (let i = 0; i < 4; i++) await stream.send(content(n, i))
            stream.closeSend()
          })()
          let i = 0
          for await (const bytes of stream.recv()) if (!isContent(bytes, n, i++)) note('wrong')
          await sending
          note(i === 4 && stream.trailer.get('count') === '4' ? 'biDir' : 'wrong')
          break
        }
        case 2: {
          const stream = client.send('p', 'S', 'Send', options)
          for (let i = 0; i < 4; i++) await stream.send(content(n, i))
          note(Buffer.from(await stream.close()).toString() === '4' ? 'send' : 'wrong')
          break
        }
        default: {
          let i = 0
          for await (const bytes of client.recv('p', 'S', 'Recv', options)) if (!isContent(bytes, n, i++)) note('wrong')
          note(i === 5 ? 'recv' : 'wrong')
        }
      }
    }))
    await until(() => client.running <= CALLS / 100, 'the end of all calls but the refused')
    // Toward a 1.0 peer a refusal takes a moment.
    clock.advance(5)
    await all
    t.same(outcomes, { sync: 240, refused: 10, biDir: 250, send: 250, recv: 250 })
    if (together) t.equal(most, CALLS, 'all ran at once')
    else t.ok(most <= 50)

    await until(() => server.stats().running === 0, 'the end of all handlers')
    await until(() => conn.connection.unsentBytes === 0)
    t.equal(client.running, 0)
    t.ok(server.stats().sessions <= 17, 'what is left are synchronous sessions that wait for the next call')
    t.equal(server.stats().queued, 0)
    t.equal(clock.pendingTimers, 2, 'no timer but the two sweeps')
    t.notOk(conn.connection.isPaused)
    await client.close()
    await conn.closed
    t.equal(conn.error, undefined)
    t.equal(server.connections.size, 0)
    t.equal(server.stats().sessions, 0)
    t.equal(clock.pendingTimers, 0)
  })
}
