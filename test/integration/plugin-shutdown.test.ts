// app.close() over real sockets: whoever registered @fastify/websocket, and when.
import { once } from 'node:events'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { Category, ErrorCode } from '../../lib/errors.js'
import { BiDirHandler, SyncHandler } from '../../lib/server/handlers.js'
import { rpcPlugin } from '../../lib/plugin.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import { MsgType, RpcType } from '../../lib/wire/message.js'
import type { RpcPluginOptions } from '../../types/options.js'
import { Arrivals, Gate, bytes, connectTo, listen, makeApp, mutePeer, openFrame, openSocket, portOf, rawUpgrade, text, upgradeStatus } from '../helpers/plugin-app.js'
import type { LogLine } from '../helpers/plugin-app.js'

type Register = (app: FastifyInstance, options: RpcPluginOptions) => Promise<void>

/** A socket of the host's own beside the RPCs. */
function chat (app: FastifyInstance): void {
  app.get('/chat', { websocket: true }, (socket) => { socket.send('hello') })
}

const ORDERS: Record<string, Register> = {
  'the host registers @fastify/websocket before': async (app, options) => {
    await app.register(websocket)
    await app.register(rpcPlugin, options)
    chat(app)
  },
  'the host registers @fastify/websocket after': async (app, options) => {
    await app.register(rpcPlugin, options)
    await app.register(websocket)
    chat(app)
  },
  'the host registers it after, without waiting': async (app, options) => {
    app.register(rpcPlugin, options).register(websocket)
    await app.after()
    chat(app)
  },
  'the host registers it in a sibling scope': async (app, options) => {
    await app.register(async (scope) => { await scope.register(rpcPlugin, options) })
    await app.register(async (scope) => {
      await scope.register(websocket)
      chat(scope)
    })
  },
  'the host registers it before, and this in a scope': async (app, options) => {
    await app.register(websocket)
    chat(app)
    await app.register(async (scope) => { await scope.register(rpcPlugin, options) })
  },
  'nobody else registers it': async (app, options) => { await app.register(rpcPlugin, options) }
}

interface Served { app: FastifyInstance, log: LogLine[], gate: Gate, arrivals: Arrivals, aborted: Arrivals }

async function serve (t: Test, register: Register, options: RpcPluginOptions = {}, appOptions: FastifyServerOptions = {}): Promise<Served> {
  const { app, log } = makeApp(t, appOptions)
  const gate = new Gate()
  const arrivals = new Arrivals()
  const aborted = new Arrivals()
  await register(app, options)
  app.get('/rest', async () => ({ ok: true }))
  const server = serverOf(app)
  server.register('p', 'S', 'Held', new SyncHandler(async (_context, request) => {
    arrivals.arrive()
    await gate.opened
    return bytes(`answer to ${text(request)}`)
  }))
  server.register('p', 'S', 'Never', new BiDirHandler(async (context) => {
    arrivals.arrive()
    await once(context.signal, 'abort')
    aborted.arrive()
  }))
  await listen(app)
  return { app, log, gate, arrivals, aborted }
}

/** The engine, also when only a child scope has the decorator. */
function serverOf (app: FastifyInstance): { register: FastifyInstance['rpc']['server']['register'] } {
  return scopes.get(app) ?? app.rpc.server
}
const scopes = new WeakMap<FastifyInstance, FastifyInstance['rpc']['server']>()

for (const [name, order] of Object.entries(ORDERS)) {
  const register: Register = async (app, options) => {
    app.addHook('onRoute', function (route) {
      if (route.url === '/rpc' && this.hasDecorator('rpc')) scopes.set(app, this.rpc.server)
    })
    await order(app, options)
  }

  t.test(name, async (t) => {
    t.test('100 running calls get their true answers', async (t) => {
      const { app, gate, arrivals } = await serve(t, register)
      const [one, two] = [await connectTo(t, app), await connectTo(t, app)]
      const calls = Array.from({ length: 100 }, async (_, i) =>
        text(await (i % 2 === 0 ? one : two).sync('p', 'S', 'Held').call(bytes(String(i)))))
      await arrivals.reach(100)
      const began = performance.now()
      const closing = app.close()
      // Both clients are told before anything is answered, and take no new call.
      while (one.isOpen || two.isOpen) await new Promise((resolve) => { setImmediate(resolve) })
      await t.rejects(one.sync('p', 'S', 'Held').call(bytes('late')), { code: 'CLAW_ERR_CLOSED' })
      t.equal(arrivals.count, 100)
      gate.open()
      t.strictSame(await Promise.all(calls), Array.from({ length: 100 }, (_, i) => `answer to ${i}`))
      await closing
      t.ok(performance.now() - began < 3000, 'close waited for nobody in vain')
      t.equal(await one.closed, undefined, 'the client saw an orderly end')
      t.equal(await two.closed, undefined)
    })

    t.test('a socket without a session is closed with 1001', async (t) => {
      const { app } = await serve(t, register)
      const socket = await openSocket(t, app)
      const closed = once(socket, 'close') as Promise<[number, Buffer]>
      await app.close()
      t.equal((await closed)[0], 1001)
    })

    t.test('a peer that never answers is cut', async (t) => {
      const { app, log, arrivals, aborted } = await serve(t, register, { shutdownTimeoutMs: 700 })
      await mutePeer(t, app, { package: 'p', service: 'S', call: 'Never', type: RpcType.BiDirectional })
      await arrivals.reach(1)
      const began = performance.now()
      await app.close()
      const took = performance.now() - began
      t.ok(took < 1700, `close took ${Math.round(took)} ms`)
      t.equal(aborted.count, 1, 'the handler was told')
      t.ok(log.some(({ msg }) => msg.startsWith('RPCs were still running')))
    })

    t.test('while closing, upgrades and requests get 503', async (t) => {
      const { app, gate, arrivals } = await serve(t, register)
      const client = await connectTo(t, app)
      const call = client.sync('p', 'S', 'Held').call(bytes('x'))
      await arrivals.reach(1)
      t.equal((await fetch(`http://127.0.0.1:${portOf(app)}/rest`)).status, 200)
      const closing = app.close()
      while (client.isOpen) await new Promise((resolve) => { setImmediate(resolve) })
      t.equal((await upgradeStatus(t, app)).status, 503)
      t.equal((await fetch(`http://127.0.0.1:${portOf(app)}/rest`)).status, 503)
      t.match((await rawUpgrade(t, app)).answer, /^HTTP\/1\.1 503 /, 'and a peer that stays does not hold close() up')
      gate.open()
      t.equal(text(await call), 'answer to x')
      await closing
      t.equal(app.server.listenerCount('upgrade'), 0)
    })

    if (name.startsWith('the host')) {
      t.test('the sockets of the host are its own matter', async (t) => {
        const { app } = await serve(t, register)
        const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}/chat`)
        const [message] = await once(socket, 'message') as [Buffer]
        t.equal(message.toString(), 'hello')
        await Promise.all([once(socket, 'close'), app.close()])
      })
    }
  })
}

t.test('with return503OnClosing false the route still refuses', async (t) => {
  for (const name of ['the host registers @fastify/websocket before', 'the host registers @fastify/websocket after', 'nobody else registers it'] as const) {
    const { app, gate, arrivals } = await serve(t, ORDERS[name] as Register, {}, { return503OnClosing: false })
    const client = await connectTo(t, app)
    const call = client.sync('p', 'S', 'Held').call(bytes('x'))
    await arrivals.reach(1)
    const closing = app.close()
    while (client.isOpen) await new Promise((resolve) => { setImmediate(resolve) })
    t.equal((await upgradeStatus(t, app)).status, 503, name)
    const plain = await fetch(`http://127.0.0.1:${portOf(app)}/rpc`)
    t.equal(plain.status, 503)
    t.match(await plain.json(), { code: 'CLAW_ERR_CLOSED' })
    t.match((await rawUpgrade(t, app)).answer, /^HTTP\/1\.1 503 /)
    gate.open()
    await call
    await closing
  }
})

t.test('upgrades before the drain begins, while another preClose hook takes its time', async (t) => {
  for (const name of ['before', 'after', 'none']) {
    const gate = new Gate()
    const closingBegan = new Gate()
    const { app } = await serve(t, async (app, options) => {
      // Behind the host's @fastify/websocket, which then listens no more, and before ours.
      if (name.endsWith('before')) await app.register(websocket)
      app.addHook('preClose', async () => {
        closingBegan.open()
        await gate.opened
      })
      await app.register(rpcPlugin, options)
      if (name.endsWith('after')) await app.register(websocket)
    })
    const closing = app.close()
    await closingBegan.opened
    t.match((await rawUpgrade(t, app)).answer, /^HTTP\/1\.1 503 /, name)
    gate.open()
    await closing
  }
})

t.test('a running REST request is answered too', async (t) => {
  const gate = new Gate()
  const arrivals = new Arrivals()
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  app.get('/slow', async () => {
    arrivals.arrive()
    await gate.opened
    return 'done'
  })
  await listen(app)
  const answer = fetch(`http://127.0.0.1:${portOf(app)}/slow`)
  await arrivals.reach(1)
  const closing = app.close()
  gate.open()
  t.equal(await (await answer).text(), 'done')
  await closing
})

t.test('pluginTimeout is never reached', async (t) => {
  const { app, log, arrivals } = await serve(t, ORDERS['nobody else registers it'] as Register, { shutdownTimeoutMs: 30_000 }, { pluginTimeout: 1000 })
  t.match(log.find(({ msg }) => msg.startsWith('shutdownTimeoutMs is cut')), { level: 40, shutdownTimeoutMs: 30_000, pluginTimeout: 1000, used: 900 })
  await mutePeer(t, app, { package: 'p', service: 'S', call: 'Never', type: RpcType.BiDirectional })
  await arrivals.reach(1)
  await t.resolves(app.close())
})

t.test('without a pluginTimeout the option counts alone', async (t) => {
  const { app, arrivals, log } = await serve(t, ORDERS['nobody else registers it'] as Register, { shutdownTimeoutMs: 300 }, { pluginTimeout: 0 })
  await mutePeer(t, app, { package: 'p', service: 'S', call: 'Never', type: RpcType.BiDirectional })
  await arrivals.reach(1)
  await t.resolves(app.close())
  t.notOk(log.some(({ msg }) => msg.startsWith('shutdownTimeoutMs is cut')))
})

t.test('two instances drain at the same time', async (t) => {
  const { app } = makeApp(t)
  const arrivals = new Arrivals()
  const never = new BiDirHandler(async (context) => {
    arrivals.arrive()
    await once(context.signal, 'abort')
  })
  await app.register(rpcPlugin, { shutdownTimeoutMs: 600 })
  await app.register(rpcPlugin, { shutdownTimeoutMs: 600, path: '/admin', decorator: 'admin' })
  app.rpc.register('p', 'S', 'Never', never)
  ;(app as unknown as { admin: FastifyInstance['rpc'] }).admin.register('p', 'S', 'Never', never)
  await listen(app)
  const clients = [await connectTo(t, app), await connectTo(t, app, { path: '/admin' })]
  const streams = clients.map((client) => client.biDir('p', 'S', 'Never'))
  await arrivals.reach(2)
  const began = performance.now()
  await app.close()
  t.ok(performance.now() - began < 1100, 'not one after the other')
  for (const stream of streams) {
    await t.rejects(stream.recv()[Symbol.asyncIterator]().next(), { category: 14, message: 'server is shutting down' })
  }
})

t.test('a client that stays when it is told to go is closed with 1001, after the GoAway', async (t) => {
  const { app } = await serve(t, ORDERS['nobody else registers it'] as Register)
  const socket = await openSocket(t, app)
  const received: Buffer[] = []
  socket.on('message', (data: Buffer) => { received.push(data) })
  socket.send(openFrame({ package: 'p', service: 'S', call: 'Held', type: RpcType.Synchronous }))
  await once(socket, 'message')
  const closed = once(socket, 'close') as Promise<[number, Buffer]>
  await app.close()
  t.strictSame((await closed).map(String), ['1001', 'server is shutting down'])
  const seen: number[] = []
  const reader = new MessageReader({ onMessage: (message) => { seen.push(message.type) }, maxFrameBytes: 65_536 })
  for (const chunk of received) reader.push(chunk)
  t.strictSame(seen, [MsgType.OpenAck, MsgType.GoAway, MsgType.Close])
})

t.test('shutdownTimeoutMs 0: calls are ended at once, and told so', async (t) => {
  const { app, arrivals } = await serve(t, ORDERS['nobody else registers it'] as Register, { shutdownTimeoutMs: 0 })
  const client = await connectTo(t, app)
  const call = client.sync('p', 'S', 'Held').call(bytes('x'))
  await arrivals.reach(1)
  const refused = t.rejects(call, { category: 14 } as never)
  await app.close()
  await refused
})

t.test('calls in full flow: each one that was sent is answered, those after it are refused before they are sent', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  let started = 0
  app.rpc.register('p', 'S', 'Echo', new SyncHandler(async (_context, request) => {
    started++
    await Promise.resolve()
    return request
  }))
  await listen(app)
  const clients = await Promise.all(Array.from({ length: 4 }, () => connectTo(t, app)))
  let answered = 0
  let isEnough = (): void => {}
  const enough = new Promise<void>((resolve) => { isEnough = resolve })
  const refusals: unknown[] = []
  const callers = clients.flatMap((client) => Array.from({ length: 8 }, async () => {
    const echo = client.sync('p', 'S', 'Echo')
    for (;;) {
      try {
        await echo.call(bytes('x'))
        if (++answered === 2000) isEnough()
      } catch (error) {
        refusals.push(error)
        return
      }
    }
  }))
  await enough
  await app.close()
  await Promise.all(callers)
  t.equal(answered, started)
  t.equal(refusals.length, 32)
  for (const refusal of refusals) t.match(refusal, { category: Category.Unavailable, code: ErrorCode.CLOSED, message: /server is going away/ })
})
