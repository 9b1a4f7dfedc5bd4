// Whatever ends a call before its handler does, over a real socket and for each of the four kinds: what the caller gets,
// what the handler's signal says, and that nothing is left. Dead peers are found.
import { getEventListeners } from 'node:events'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { Client } from '../../lib/client/client.js'
import { Category, ErrorCode } from '../../lib/errors.js'
import { rpcPlugin } from '../../lib/plugin.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { RpcType } from '../../lib/wire/message.js'
import type { CallOptions } from '../../types/client-options.js'
import type { HandlerContext } from '../../types/handler-context.js'
import type { RpcPluginOptions } from '../../types/options.js'
import { failureOf, text, texts } from '../helpers/engine.js'
import { bytes, connectTo, listen, makeApp, mutePeer } from '../helpers/plugin-app.js'
import { until } from '../helpers/scripted-peer.js'

/** What the one handler that runs has seen. */
interface Seen { deadline?: Date | undefined, reason?: unknown, buffered: string[], recvError?: unknown, sendError?: unknown }

const aborted = (signal: AbortSignal): Promise<void> => new Promise((resolve) => {
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => { resolve() }, { once: true })
})

async function served (t: Test, options: RpcPluginOptions = {}): Promise<{ app: FastifyInstance, client: Client, seen: Seen, arrived: () => boolean, isOver: () => boolean }> {
  const { app } = makeApp(t)
  const seen: Seen = { buffered: [] }
  let [hasArrived, hasEnded] = [false, false]
  const wait = async (context: HandlerContext, stream: { recv?: () => AsyncIterable<Uint8Array>, send?: (bytes: Uint8Array) => Promise<void> } = {}): Promise<never> => {
    seen.deadline = context.deadline
    hasArrived = true
    await aborted(context.signal)
    seen.reason = context.signal.reason
    if (stream.recv !== undefined) {
      try {
        for await (const message of stream.recv()) seen.buffered.push(text(message))
      } catch (error) {
        seen.recvError = error
      }
    }
    if (stream.send !== undefined) await stream.send(bytes('late')).catch((error: unknown) => { seen.sendError = error })
    hasEnded = true
    throw context.signal.reason
  }
  await app.register(rpcPlugin, options)
  app.rpc
    .register('p', 'S', 'Sync', new SyncHandler((context) => wait(context)))
    .register('p', 'S', 'Send', new SendHandler((context, stream) => wait(context, { recv: () => stream.recv() })))
    .register('p', 'S', 'Recv', new RecvHandler((context, stream) => wait(context, { send: (message) => stream.send(message) })))
    .register('p', 'S', 'BiDir', new BiDirHandler((context, stream) => wait(context, { recv: () => stream.recv(), send: (message) => stream.send(message) })))
  await listen(app)
  return { app, client: await connectTo(t, app), seen, arrived: () => hasArrived, isOver: () => hasEnded }
}

const KINDS: Record<string, (client: Client, options: CallOptions) => Promise<unknown>> = {
  sync: (client, options) => client.sync('p', 'S', 'Sync').call(bytes('a'), options),
  async send (client, options) {
    const stream = client.send('p', 'S', 'Send', options)
    await stream.send(bytes('a')) // travels with the Open: it is there when the handler is
    // Not at its end yet: what has been said to the end is read to the end.
    const error = await stream.ended
    if (error !== undefined) throw error
  },
  recv: (client, options) => texts(client.recv('p', 'S', 'Recv', options)),
  async biDir (client, options) {
    const stream = client.biDir('p', 'S', 'BiDir', options)
    await stream.send(bytes('a'))
    return await texts(stream.recv())
  }
}

interface End {
  plugin?: RpcPluginOptions
  call?: CallOptions
  /** Brings the end about, once the handler waits. */
  run?: (app: FastifyInstance, client: Client) => unknown
  caller: Category
  handler: Category[]
  code?: ErrorCode
}

const controller = (): { signal: AbortSignal, abort: () => void } => {
  const made = new AbortController()
  return { signal: made.signal, abort: () => { made.abort() } }
}

const ENDS: Record<string, () => End> = {
  // Both sides keep the time, and the caller's Cancel may come before the server's own clock.
  'the caller\'s timeout': () => ({ call: { timeoutMs: 400 }, caller: Category.DeadlineExceeded, handler: [Category.DeadlineExceeded, Category.Canceled] }),
  'the server\'s cap, of a caller with no timeout': () => ({ plugin: { maxDeadlineMs: 400 }, caller: Category.DeadlineExceeded, handler: [Category.DeadlineExceeded] }),
  'the caller\'s AbortSignal': () => {
    const { signal, abort } = controller()
    return { call: { signal }, run: abort, caller: Category.Canceled, handler: [Category.Canceled] }
  },
  'the client\'s close': () => ({ run: (_app, client) => client.close(), caller: Category.Unavailable, handler: [Category.Canceled] }),
  'the loss of the connection': () => ({
    run: (app) => { for (const socket of app.websocketServer.clients) socket.terminate() },
    caller: Category.Unavailable,
    handler: [Category.Canceled],
    code: ErrorCode.CONNECTION_LOST
  }),
  'a forced shutdown': () => ({ plugin: { shutdownTimeoutMs: 0 }, run: (app) => app.close(), caller: Category.Unavailable, handler: [Category.Unavailable] })
}

for (const [what, end] of Object.entries(ENDS)) {
  t.test(`${what} ends a call of each kind`, async (t) => {
    await Promise.all(Object.entries(KINDS).map(async ([kind, start]) => {
      const { plugin, call = {}, run, caller, handler, code } = end()
      const { app, client, seen, arrived, isOver } = await served(t, plugin)
      const failure = failureOf(start(client, call))
      await until(arrived, 'the handler')
      const running = run?.(app, client)
      t.equal((await failure).category, caller, `${kind}: what the caller gets`)
      await until(isOver, 'the end of the handler')
      const { category, code: reasonCode } = seen.reason as { category: Category, code: string }
      t.ok(handler.includes(category), `${kind}: ${category} is what the handler's signal says`)
      if (code !== undefined) t.equal(reasonCode, code, kind)
      t.equal(seen.deadline instanceof Date, call.timeoutMs !== undefined || plugin?.maxDeadlineMs !== undefined, `${kind}: the handler knew the deadline`)
      if (kind === 'send' || kind === 'biDir') {
        t.strictSame(seen.buffered, ['a'], `${kind}: what had come is still yielded`)
        t.equal(seen.recvError, seen.reason, `${kind}: then the reason is thrown`)
      }
      if (kind === 'recv' || kind === 'biDir') t.match(seen.sendError, { category }, `${kind}: sends fail`)
      await until(() => app.rpc.stats().running === 0, 'a free place')
      if (call.signal !== undefined) t.equal(getEventListeners(call.signal, 'abort').length, 0, `${kind}: no listener is left`)
      t.equal(client.running, 0, kind)
      await running
    }))
  })
}

t.test('a peer that has gone silent is found and its calls end; one that answers pings stays', async (t) => {
  const { app, seen, client, arrived, isOver } = await served(t, { keepAliveIntervalMs: 300, keepAliveTimeoutMs: 300 })
  await mutePeer(t, app, { package: 'p', service: 'S', call: 'BiDir', type: RpcType.BiDirectional })
  await until(arrived, 'its call')
  const mute = [...app.rpc.server.connections].find(({ sessionCount }) => sessionCount > 0)
  await mute?.closed
  t.equal(mute?.error?.code, ErrorCode.PING_TIMEOUT)
  await until(isOver, 'the end of its handler')
  t.match(seen.reason, { category: Category.Canceled, code: ErrorCode.PING_TIMEOUT })
  t.equal(app.rpc.stats().connections, 1)
  t.ok(client.isOpen, 'the other, which has said nothing either, but answers')
})
