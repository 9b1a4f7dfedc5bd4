// What an operator sees of a server on Fastify: one line for each call in the log of the upgrade request, the figures, the
// channels. What the lines and messages hold in full is in test/docs/observability.test.ts.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t from 'tap'
import { Category, RpcError } from '../../lib/errors.js'
import { rpcPlugin } from '../../lib/plugin.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { CHANNELS } from '../../lib/server/observer.js'
import { failureOf, texts } from '../helpers/engine.js'
import { Gate, bytes, connectTo, listen, makeApp, openSocket } from '../helpers/plugin-app.js'
import { until } from '../helpers/scripted-peer.js'

t.test('one line for each call when it is over: kind, name, category, duration, messages and bytes each way', async (t) => {
  const { app, log } = makeApp(t)
  await app.register(rpcPlugin)
  app.rpc
    .register('p', 'S', 'Sync', new SyncHandler((_context, request) => bytes(`${request.byteLength} bytes`)))
    .register('p', 'S', 'Send', new SendHandler(async (_context, stream) => bytes((await texts(stream.recv())).join(''))))
    .register('p', 'S', 'Recv', new RecvHandler(async (_context, stream) => { for (const word of ['one', 'two']) await stream.send(bytes(word)) }))
    .register('p', 'S', 'BiDir', new BiDirHandler(async (_context, stream) => {
      for await (const message of stream.recv()) await stream.send(message)
      throw new RpcError(Category.Aborted, 'as asked')
    }))
  await listen(app)
  const client = await connectTo(t, app)
  await client.sync('p', 'S', 'Sync').call(bytes('12345'))
  const up = client.send('p', 'S', 'Send')
  for (const word of ['a', 'bc', 'def']) await up.send(bytes(word))
  await up.close()
  await texts(client.recv('p', 'S', 'Recv', { request: bytes('go') }))
  const chat = client.biDir('p', 'S', 'BiDir')
  await chat.send(bytes('hello'))
  chat.closeSend()
  t.match(await failureOf(texts(chat.recv())), { category: Category.Aborted })

  const lines = log.filter(({ msg }) => msg === 'rpc completed')
  const incoming = log.find(({ msg }) => msg === 'incoming request')
  const common = { level: incoming?.level, reqId: incoming?.reqId, package: 'p', service: 'S' }
  t.match(lines, [
    { ...common, rpc: 'sync', call: 'Sync', session: 1, category: 'OK', received: { messages: 1, bytes: 5 }, sent: { messages: 1, bytes: 7 } },
    { ...common, rpc: 'send', call: 'Send', session: 2, category: 'OK', received: { messages: 3, bytes: 6 }, sent: { messages: 1, bytes: 6 } },
    { ...common, rpc: 'recv', call: 'Recv', session: 3, category: 'OK', received: { messages: 1, bytes: 2 }, sent: { messages: 2, bytes: 6 } },
    { ...common, rpc: 'biDir', call: 'BiDir', session: 4, category: 'Aborted', code: 'CLAW_ERR_ABORTED', received: { messages: 1, bytes: 5 }, sent: { messages: 1, bytes: 5 } }
  ])
  t.equal(lines.length, 4)
  t.equal(common.level, 30, 'the level of Fastify\'s own requests')
  for (const { responseTime } of lines) t.ok(typeof responseTime === 'number' && responseTime >= 0)
})

t.test('app.rpc.stats(): what is there now, and how calls went', async (t) => {
  const { app } = makeApp(t)
  const gate = new Gate()
  await app.register(rpcPlugin, { maxConcurrentRPCs: 1 })
  app.rpc
    .register('p', 'S', 'Echo', new SyncHandler((_context, request) => request))
    .register('p', 'S', 'Fail', new SyncHandler(() => { throw new RpcError(Category.NotFound, 'no such row') }))
    .register('p', 'S', 'Break', new SyncHandler(() => { throw new Error('broken') }))
    .register('p', 'S', 'Hold', new BiDirHandler(async () => { await gate.opened }))
  await listen(app)
  t.match(app.rpc.stats(), { connections: 0, connectionsTotal: 0, sessions: 0, running: 0, queued: 0, bytesReceived: 0, bytesSent: 0, callsStarted: 0, callsEnded: 0, callsByCategory: {} })
  const client = await connectTo(t, app)
  const other = await openSocket(t, app)
  await client.sync('p', 'S', 'Echo').call(new Uint8Array(10_000))
  await failureOf(client.sync('p', 'S', 'Fail').call(bytes('')))
  await failureOf(client.sync('p', 'S', 'Fail').call(bytes('')))
  await failureOf(client.sync('p', 'S', 'Break').call(bytes('')))
  const held = client.biDir('p', 'S', 'Hold')
  await until(() => app.rpc.stats().running === 1)
  const waits = client.sync('p', 'S', 'Echo').call(bytes('x'))
  await until(() => app.rpc.stats().queued === 1)
  // A session for each of the synchronous RPCs, and the stream.
  t.match(app.rpc.stats(), { connections: 2, connectionsTotal: 2, sessions: 4, running: 1, queued: 1, callsStarted: 6, callsEnded: 4 })
  t.strictSame(app.rpc.stats().callsByCategory, { OK: 1, NotFound: 2, Internal: 1 })
  gate.open()
  t.equal(await held.ended, undefined)
  await waits
  other.close()
  await client.close()
  await until(() => app.rpc.stats().connections === 0)
  const { bytesReceived, bytesSent, ...rest } = app.rpc.stats()
  t.ok(bytesReceived > 10_000 && bytesReceived < 20_000 && bytesSent > 10_000 && bytesSent < 20_000, `${bytesReceived} and ${bytesSent} bytes, also of connections that are gone`)
  t.match(rest, { connectionsTotal: 2, sessions: 0, running: 0, queued: 0, callsStarted: 6, callsEnded: 6, callsByCategory: { OK: 3, NotFound: 2, Internal: 1 } })
})

t.test('the channels tell of connections and calls of the plugin, begin and end', async (t) => {
  const heard: string[] = []
  for (const name of Object.values(CHANNELS)) {
    const listener = (message: unknown): void => {
      const { category } = message as { category?: string }
      heard.push(category === undefined ? name : `${name} ${category}`)
    }
    subscribe(name, listener)
    t.teardown(() => { unsubscribe(name, listener) })
  }
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  app.rpc.register('p', 'S', 'Echo', new SyncHandler((_context, request) => request))
  await listen(app)
  const client = await connectTo(t, app)
  await client.sync('p', 'S', 'Echo').call(bytes('x'))
  await client.close()
  await until(() => heard.length === 4)
  t.strictSame(heard, ['fastify-claw:connection:start', 'fastify-claw:rpc:start', 'fastify-claw:rpc:end OK', 'fastify-claw:connection:end'])
})
