/** The server under attack: the Fastify plugin with its default options, one handler for each fault, and a log. */
import { performance } from 'node:perf_hooks'
import Fastify from 'fastify'
import { work } from '../system/worker.mjs'
import { load } from './dist.mjs'

const { BiDirHandler, RecvHandler, SendHandler, SyncHandler, rpcPlugin } = await load('index.js')

/** Enough for the healthy streams to end by themselves while others never do. */
const SHUTDOWN_MS = 2000
const NOTHING = new Uint8Array(0)

// Written and thrown away: an attack that makes the server log pays no less for it than elsewhere.
const app = Fastify({ logger: { level: 'info', file: '/dev/null' } })
let closing
let lastBusy

const aborted = ({ signal }) => new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }, { once: true }) })

const handlers = {
  Echo: new SyncHandler((_context, request) => request),
  Swallow: new SyncHandler(() => NOTHING),
  Throw: new SyncHandler(() => { throw new Error('a secret') }),
  Never: new SyncHandler((context) => aborted(context)),
  ThrowNothing: new BiDirHandler(async () => { throw undefined }), // eslint-disable-line no-throw-literal -- that is the fault
  Chat: new BiDirHandler(async (_context, stream) => { for await (const bytes of stream.recv()) await stream.send(bytes) }),
  NeverReads: new SendHandler((context) => aborted(context)),
  Sink: new SendHandler(async (_context, stream) => { for await (const bytes of stream.recv()) if (bytes.length === 0) break }),
  Flood: new RecvHandler(async (context, stream) => { while (!context.signal.aborted) await stream.send(new Uint8Array(16 * 1024)) })
}

work({
  async listen () {
    await app.register(rpcPlugin, { shutdownTimeoutMs: SHUTDOWN_MS })
    for (const [name, handler] of Object.entries(handlers)) app.rpc.register('fault', 'S', name, handler)
    await app.listen({ port: 0, host: '127.0.0.1' })
    lastBusy = performance.eventLoopUtilization()
    return app.server.address().port
  },

  stats: () => app.rpc.stats(),

  /** The share of the time since the last question in which the event loop was at work. */
  busy () {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, lastBusy)
    lastBusy = now
    return utilization
  },

  /** Begins the shutdown; `drained` waits for its end. */
  drain () {
    closing = { since: performance.now(), done: app.close() }
    return true
  },
  async drained () {
    await closing.done
    return { ms: performance.now() - closing.since, stats: app.rpc.stats() }
  }
}, { asksForUnhandled: true })
