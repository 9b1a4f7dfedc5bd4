// The plugin on a real Fastify app: options, hooks, scopes, and what a handler and a client see.
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import websocket from '@fastify/websocket'
import t from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/connect.js'
import { Category, RpcError } from '../../lib/errors.js'
import { rpcPlugin } from '../../lib/plugin.js'
import type { RpcScope } from '../../lib/plugin/rpc-scope.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { webSocketTransport } from '../../lib/transport/websocket.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import type { RpcPluginOptions } from '../../types/options.js'
import { bytes, connectTo, listen, makeApp, openSocket, portOf, text, upgradeStatus } from '../helpers/plugin-app.js'

const echo = new SyncHandler((_context, request) => request)

/** A second instance, under its own name. */
function adminOf (app: FastifyInstance): RpcScope {
  return app.getDecorator<RpcScope>('admin')
}

t.test('the option table is the law', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ maxConections: 1 }, /there is no option maxConections/],
    [{ path: 'rpc' }, /option path must be a string that matches/],
    [{ decorator: 'not a name' }, /option decorator must be/],
    [{ shutdownTimeoutMs: -1 }, /option shutdownTimeoutMs must be an integer from 0/],
    [{ maxRecvMsgSize: '4 MiB' }, /option maxRecvMsgSize must be an integer/],
    [{ allowedOrigins: 'https://example.org' }, /option allowedOrigins must be '\*', a list of strings or a function/],
    [{ allowedOrigins: ['example.org'] }, /allowedOrigins has "example.org", which is neither/],
    [{ allowedOrigins: ['https://example.org/page'] }, /allowedOrigins has/]
  ]
  for (const [options, message] of wrong) {
    const app = Fastify()
    await t.rejects(async () => { await app.register(rpcPlugin, options) }, { code: 'CLAW_ERR_OPTION_INVALID', message }, JSON.stringify(options))
  }
})

t.test('decorator and path must be free', async (t) => {
  const taken = Fastify()
  taken.decorate('rpc', 1 as never)
  await t.rejects(async () => { await taken.register(rpcPlugin) }, { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  const twice = Fastify()
  await twice.register(rpcPlugin)
  await t.rejects(async () => { await twice.register(rpcPlugin, { decorator: 'admin' }) }, { code: 'FST_ERR_DUPLICATED_ROUTE' })
})

t.test('a handler sees the upgrade request and logs as its child', async (t) => {
  const { app, log } = makeApp(t)
  app.decorateRequest('user', '')
  await app.register(rpcPlugin)
  // Added after the plugin, and async: hooks hold for the route as for any other.
  app.addHook('onRequest', async (request) => { request.setDecorator('user', String(request.headers['x-user'])) })
  app.rpc.register('p', 'S', 'Who', new SyncHandler((context) => {
    context.log.info({ extra: 1 }, 'asked')
    return bytes(JSON.stringify([context.request.getDecorator('user'), context.request.url, context.remoteAddress, context.request.id]))
  }))
  await listen(app)
  const client = await connectTo(t, app, { webSocketOptions: { headers: { 'x-user': 'ada' } } })
  const [user, url, address, id] = JSON.parse(text(await client.sync('p', 'S', 'Who').call(bytes('')))) as string[]
  t.strictSame([user, url, address], ['ada', '/rpc', '127.0.0.1'])
  t.match(log.find(({ msg }) => msg === 'asked'), { level: 30, reqId: id, package: 'p', service: 'S', call: 'Who', session: 1, extra: 1 })
})

t.test('authentication is that of the app', async (t) => {
  const { app } = makeApp(t)
  let touched = 0
  await app.register(rpcPlugin)
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization !== 'Bearer good') return reply.code(401).send({ error: 'who are you?' })
  })
  app.rpc.register('p', 'S', 'Echo', new SyncHandler((_context, request) => {
    touched++
    return request
  }))
  await listen(app)
  await t.rejects(connectTo(t, app), { code: 'CLAW_ERR_CONNECT_FAILED', category: Category.Unavailable, message: /401/ })
  t.strictSame(await upgradeStatus(t, app), { status: 401, body: { error: 'who are you?' } })
  const client = await connectTo(t, app, { webSocketOptions: { headers: { authorization: 'Bearer good' } } })
  t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('hi'))), 'hi')
  t.equal(touched, 1)
})

t.test('an async preHandler delays the upgrade and nothing is lost', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  app.addHook('preHandler', async () => { await new Promise((resolve) => { setImmediate(resolve) }) })
  app.rpc.register('p', 'S', 'Echo', echo)
  await listen(app)
  const client = await connectTo(t, app)
  t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('hi'))), 'hi')
})

t.test('register: duplicates, wrong handlers, too late', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  t.equal(app.rpc.register('p', 'S', 'Echo', echo), app.rpc, 'chains')
  t.throws(() => app.rpc.register('p', 'S', 'Echo', echo), { code: 'CLAW_ERR_HANDLER_EXISTS' })
  t.throws(() => app.rpc.register('p', 'S', 'Other', {} as never), { code: 'CLAW_ERR_ARGUMENT_INVALID' })
  t.throws(() => app.rpc.addUnaryInterceptor({} as never), { code: 'CLAW_ERR_ARGUMENT_INVALID' })
  await app.register(async (scope) => {
    t.throws(() => scope.rpc.register('p', 'S', 'Echo', echo), { code: 'CLAW_ERR_HANDLER_EXISTS' }, 'handlers are known to all scopes')
  })
  app.addHook('onReady', async () => { app.rpc.register('p', 'S', 'Late', echo) })
  await listen(app)
  t.throws(() => app.rpc.register('p', 'S', 'TooLate', echo), { code: 'CLAW_ERR_ALREADY_LISTENING' })
  t.throws(() => app.rpc.addStreamInterceptor(async (call, next) => next(call)), { code: 'CLAW_ERR_ALREADY_LISTENING' })
  t.strictSame([...app.rpc.registry.handlers()].map(({ call }) => call), ['Echo', 'Late'])
  t.equal(app.rpc.isDraining, false)
  await app.close()
  t.equal(app.rpc.isDraining, true)
})

t.test('two instances on two paths', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  await app.register(rpcPlugin, { path: '/admin', decorator: 'admin', maxConnections: 1 })
  app.rpc.register('p', 'S', 'Name', new SyncHandler(() => bytes('rpc')))
  adminOf(app).register('p', 'S', 'Name', new SyncHandler(() => bytes('admin')))
  t.not(app.rpc.server, adminOf(app).server)
  await listen(app)
  const name = async (path: string): Promise<string> => text(await (await connectTo(t, app, { path })).sync('p', 'S', 'Name').call(bytes('')))
  t.strictSame(await Promise.all([name('/rpc'), name('/admin'), name('/rpc')]), ['rpc', 'admin', 'rpc'])
})

t.test('prefixes: of the scope and of register', async (t) => {
  const { app } = makeApp(t)
  await app.register(async (scope) => {
    await scope.register(rpcPlugin)
    scope.rpc.register('p', 'S', 'Name', new SyncHandler((context) => bytes(context.request.url)))
  }, { prefix: '/v1' })
  await app.register(rpcPlugin, { prefix: '/v2', decorator: 'admin', logLevel: 'warn' })
  adminOf(app).register('p', 'S', 'Name', new SyncHandler((context) => bytes(context.request.url)))
  t.notOk(app.hasDecorator('rpc'), 'stays in its scope')
  await listen(app)
  for (const path of ['/v1/rpc', '/v2/rpc']) {
    t.equal(text(await (await connectTo(t, app, { path })).sync('p', 'S', 'Name').call(bytes(''))), path)
  }
  t.equal((await upgradeStatus(t, app)).status, 404)
})

t.test('the default export of a wrapped plugin works: fp in fp', async (t) => {
  const { app } = makeApp(t)
  await app.register(fp(async (inner) => { await inner.register(rpcPlugin) }))
  t.ok(app.hasDecorator('rpc'))
  t.ok(app.hasPlugin('fastify-claw'))
})

t.test('interceptors hold for their scope and those below', async (t) => {
  const { app } = makeApp(t)
  const unary = (name: string): UnaryServerInterceptor => async (call, next) => bytes(`${name}(${text(await next(call))})`)
  const seen: string[] = []
  const stream = (name: string): StreamServerInterceptor => async (call, next) => {
    seen.push(name)
    return next(call)
  }
  const named = new SyncHandler((context) => bytes(context.call))
  const down = new RecvHandler(async (context, out) => { await out.send(bytes(context.call)) })
  await app.register(rpcPlugin, { unaryInterceptors: [unary('option')] })
  app.rpc.register('p', 'S', 'Root', named)
  await app.register(async (one) => {
    one.rpc.register('p', 'S', 'One', named).register('p', 'S', 'OneDown', down)
    await one.register(async (deep) => {
      deep.rpc.register('p', 'S', 'Deep', named).register('p', 'S', 'DeepDown', down)
      deep.rpc.addUnaryInterceptor(unary('deep1'), unary('deep2')).addStreamInterceptor(stream('deep'))
    })
    // Later than the handlers and than the scope below: hooks count too, whenever they are added.
    one.rpc.addUnaryInterceptor(unary('one')).addStreamInterceptor(stream('one'))
  })
  await app.register(async (two) => {
    t.equal(two.rpc, two.rpc)
    t.not(two.rpc, app.rpc)
    two.rpc.register('p', 'S', 'Two', named).addUnaryInterceptor(unary('two'))
  })
  app.rpc.addUnaryInterceptor(unary('root'))
  await listen(app)
  const client = await connectTo(t, app)
  const answer = async (call: string): Promise<string> => text(await client.sync('p', 'S', call).call(bytes('')))
  t.strictSame(await Promise.all(['Root', 'One', 'Deep', 'Two'].map(answer)), [
    'option(root(Root))', 'option(root(one(One)))', 'option(root(one(deep1(deep2(Deep)))))', 'option(root(two(Two)))'
  ])
  for (const call of ['OneDown', 'DeepDown']) {
    const got: string[] = []
    for await (const message of client.recv('p', 'S', call)) got.push(text(message))
    t.strictSame(got, [call])
  }
  t.strictSame(seen, ['one', 'one', 'deep'])
})

t.test('origins', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin, { path: '/own' })
  await app.register(rpcPlugin, { path: '/list', decorator: 'a', allowedOrigins: ['https://Example.org:443/', 'app://local', 'null'] })
  await app.register(rpcPlugin, { path: '/any', decorator: 'b', allowedOrigins: '*' })
  await app.register(rpcPlugin, { path: '/every', decorator: 'd', allowedOrigins: ['https://example.org', '*'] })
  await app.register(rpcPlugin, { path: '/ask', decorator: 'c', allowedOrigins: async (origin, request) => origin === 'https://asked.org' && request.headers['x-key'] === '1' })
  const port = await listen(app)
  const status = async (path: string, origin?: string, more: Record<string, string> = {}): Promise<number> =>
    (await upgradeStatus(t, app, path, { ...more, ...(origin !== undefined && { origin }) })).status
  const own = `http://127.0.0.1:${port}`
  t.equal(await status('/own'), 101, 'no browser')
  t.equal(await status('/own', own), 101)
  t.equal(await status('/own', `https://127.0.0.1:${port}`), 101, 'a proxy may have ended TLS')
  t.equal(await status('/own', 'https://shop.example', { host: 'shop.example' }), 101, 'default port')
  t.equal(await status('/own', 'https://shop.example', { host: 'shop.example:443' }), 101, 'default port, written out')
  t.equal(await status('/own', 'http://shop.example', { host: 'shop.example:443' }), 403)
  t.equal(await status('/own', 'http://127.0.0.1'), 403, 'another port')
  t.equal(await status('/own', `http://localhost:${port}`), 403, 'another host')
  t.equal(await status('/own', 'null'), 403)
  t.equal(await status('/own', 'nonsense'), 403)
  t.equal(await status('/own', `app://127.0.0.1:${port}`), 403)
  t.match((await upgradeStatus(t, app, '/own', { origin: 'https://evil.example' })).body,
    { statusCode: 403, code: 'CLAW_ERR_ORIGIN_REFUSED', error: 'Forbidden', message: 'origin https://evil.example may not connect' })
  t.equal(await status('/list', 'https://example.org'), 101)
  t.equal(await status('/list', 'http://example.org'), 403)
  t.equal(await status('/list', 'app://local'), 101)
  t.equal(await status('/list', 'null'), 101)
  t.equal(await status('/list', own), 101, 'its own always')
  t.equal(await status('/any', 'https://evil.example'), 101)
  t.equal(await status('/every', 'https://evil.example'), 101)
  t.equal(await status('/ask', 'https://asked.org', { 'x-key': '1' }), 101)
  t.equal(await status('/ask', 'https://asked.org'), 403)
  t.equal(await status('/ask', own), 101)
})

t.test('behind a trusted proxy the page\'s scheme is known', async (t) => {
  const { app } = makeApp(t, { trustProxy: true })
  await app.register(rpcPlugin)
  await listen(app)
  const forwarded = { 'x-forwarded-host': 'shop.example', 'x-forwarded-proto': 'https' }
  t.equal((await upgradeStatus(t, app, '/rpc', { ...forwarded, origin: 'https://shop.example' })).status, 101)
  t.equal((await upgradeStatus(t, app, '/rpc', { ...forwarded, origin: 'http://shop.example' })).status, 403)
})

t.test('maxConnections: the next gets 503 before the upgrade', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin, { maxConnections: 2 })
  // Both of the last two pass onRequest; the limit holds all the same.
  app.addHook('preValidation', async () => { await new Promise((resolve) => { setImmediate(resolve) }) })
  await listen(app)
  const first = await openSocket(t, app)
  const statuses = (await Promise.all([upgradeStatus(t, app), upgradeStatus(t, app)])).map(({ status }) => status)
  t.strictSame(statuses.sort(), [101, 503])
  t.match(await upgradeStatus(t, app), { status: 503, body: { statusCode: 503, code: 'CLAW_ERR_TOO_MANY_CONNECTIONS', message: 'too many connections' } })
  await t.rejects(connectTo(t, app), { code: 'CLAW_ERR_CONNECT_FAILED', message: /503/ })
  const gone = [...app.rpc.server.connections][0]?.closed
  first.terminate()
  await gone
  t.equal((await upgradeStatus(t, app)).status, 101, 'a place is free again')
})

t.test('a plain GET is told what this is', async (t) => {
  for (const isHosts of [false, true]) {
    const { app } = makeApp(t)
    if (isHosts) await app.register(websocket)
    await app.register(rpcPlugin, { path: '/claw' })
    await listen(app)
    const answer = await fetch(`http://127.0.0.1:${portOf(app)}/claw`, { headers: { origin: 'https://evil.example' } })
    t.equal(answer.status, 426)
    t.equal(answer.headers.get('upgrade'), 'websocket')
    t.match(await answer.json(), { statusCode: 426, code: 'CLAW_ERR_UPGRADE_REQUIRED', error: 'Upgrade Required', message: /Claw RPC over WebSocket/ })
    t.equal((await app.inject({ method: 'HEAD', url: '/claw' })).statusCode, 426)
  }
})

t.test('upgrades to other routes are answered and their sockets ended', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  app.get('/rest', async () => ({ ok: true }))
  await listen(app)
  t.strictSame(await upgradeStatus(t, app, '/rest'), { status: 200, body: { ok: true } })
  t.equal((await upgradeStatus(t, app, '/nowhere')).status, 404)
  const connections = await new Promise<number>((resolve, reject) => {
    const look = (): void => {
      app.server.getConnections((error, count) => {
        if (error !== null) reject(error)
        else if (count === 0) resolve(count)
        else setImmediate(look)
      })
    }
    look()
  })
  t.equal(connections, 0)
})

t.test('under pressure new calls get Unavailable', async (t) => {
  const { app } = makeApp(t)
  let isUnderPressure = false
  await app.register(rpcPlugin)
  app.decorate('isUnderPressure', () => isUnderPressure)
  app.rpc.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))
  await listen(app)
  const client = await connectTo(t, app)
  const before = client.biDir('p', 'S', 'Chat')
  const iterator = before.recv()[Symbol.asyncIterator]()
  await before.send(bytes('one'))
  t.equal(text((await iterator.next()).value as Uint8Array), 'one')
  isUnderPressure = true
  await t.rejects(client.biDir('p', 'S', 'Chat').recv()[Symbol.asyncIterator]().next(), { category: Category.Unavailable, message: 'server is under pressure' })
  await before.send(bytes('two'))
  t.equal(text((await iterator.next()).value as Uint8Array), 'two', 'what runs goes on')
  isUnderPressure = false
  const after = client.biDir('p', 'S', 'Chat')
  await after.send(bytes('three'))
  t.equal(text((await after.recv()[Symbol.asyncIterator]().next()).value as Uint8Array), 'three')
})

t.test('a thrown handler harms nobody, and only the log has the details', async (t) => {
  const { app, log } = makeApp(t)
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => { unhandled.push(reason) }
  process.on('unhandledRejection', note)
  t.teardown(() => { process.off('unhandledRejection', note) })
  const broken = (): never => { throw new Error('password is hunter2') }
  await app.register(rpcPlugin)
  app.rpc
    .register('p', 'S', 'Sync', new SyncHandler(() => broken()))
    .register('p', 'S', 'Async', new SyncHandler(async () => broken()))
    .register('p', 'S', 'BiDir', new BiDirHandler(async () => broken()))
    .register('p', 'S', 'Send', new SendHandler(async () => broken()))
    .register('p', 'S', 'Recv', new RecvHandler(async () => broken()))
    .register('p', 'S', 'SyncBiDir', new BiDirHandler(() => broken()))
    // eslint-disable-next-line @typescript-eslint/only-throw-error, no-throw-literal -- people do
    .register('p', 'S', 'Text', new SyncHandler(async () => { throw 'hunter2 as text' }))
    .register('p', 'S', 'Known', new SyncHandler(async () => { throw new RpcError(Category.NotFound, 'no such row') }))
    .register('p', 'S', 'Echo', echo)
  await listen(app)
  const client = await connectTo(t, app)
  const generic = { category: Category.Internal, message: 'internal error' }
  await t.rejects(client.sync('p', 'S', 'Sync').call(bytes('')), generic)
  await t.rejects(client.sync('p', 'S', 'Async').call(bytes('')), generic)
  await t.rejects(client.sync('p', 'S', 'Text').call(bytes('')), generic)
  await t.rejects(client.biDir('p', 'S', 'BiDir').recv()[Symbol.asyncIterator]().next(), generic)
  await t.rejects(client.biDir('p', 'S', 'SyncBiDir').recv()[Symbol.asyncIterator]().next(), generic)
  await t.rejects(client.send('p', 'S', 'Send').close(), generic)
  await t.rejects(client.recv('p', 'S', 'Recv')[Symbol.asyncIterator]().next(), generic)
  await t.rejects(client.sync('p', 'S', 'Known').call(bytes('')), { category: Category.NotFound, message: 'no such row' })
  t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('still here'))), 'still here')
  const failures = log.filter(({ level }) => level >= 50)
  t.strictSame(failures.map(({ call }) => call), ['Sync', 'Async', 'Text', 'BiDir', 'SyncBiDir', 'Send', 'Recv'])
  const reqId = log.find(({ msg }) => msg === 'incoming request')?.reqId
  t.match(failures[1], { level: 50, msg: 'RPC handler failed', reqId, package: 'p', service: 'S', call: 'Async', session: 2, err: { message: 'password is hunter2', stack: /plugin\.test/ } })
  t.match(JSON.stringify(failures[2]), 'hunter2 as text')
  t.strictSame(unhandled, [])
})

t.test('a peer that breaks the rules costs its own connection', async (t) => {
  for (const isHosts of [false, true]) {
    const { app, log } = makeApp(t)
    if (isHosts) await app.register(websocket)
    await app.register(rpcPlugin, { maxRecvMsgSize: 1024 })
    app.rpc.register('p', 'S', 'Echo', echo)
    await listen(app)
    const client = await connectTo(t, app)
    const closed = async (socket: WebSocket): Promise<number> => await new Promise((resolve) => { socket.on('close', resolve) })
    const garbage = await openSocket(t, app)
    garbage.send(new Uint8Array(64).fill(255))
    t.equal(await closed(garbage), 1002)
    const letters = await openSocket(t, app)
    letters.send('hello')
    t.equal(await closed(letters), 1003)
    if (!isHosts) {
      const big = await openSocket(t, app)
      big.send(new Uint8Array(1024 * 1024))
      t.equal(await closed(big), 1009, 'maxPayload is ours where @fastify/websocket is')
    }
    t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('still here'))), 'still here')
    t.strictSame(log.filter(({ level }) => level >= 40), [])
  }
})

t.test('the largest message passes, also in one piece', async (t) => {
  const { app } = makeApp(t)
  const maxRecvMsgSize = 3_000_000
  await app.register(rpcPlugin, { maxRecvMsgSize })
  app.rpc.register('p', 'S', 'Length', new SyncHandler((_context, request) => bytes(String(request.byteLength))))
  await listen(app)
  for (const minorVersion of [0, 1] as const) {
    const client = await connectTo(t, app, { minorVersion })
    const call = client.sync('p', 'S', 'Length').call(new Uint8Array(maxRecvMsgSize), { metadata: { big: 'x'.repeat(60_000) } })
    t.equal(text(await call), String(maxRecvMsgSize), `minor ${minorVersion}`)
  }
})

for (const [name, register] of Object.entries<(app: FastifyInstance, options: RpcPluginOptions) => Promise<unknown>>({
  'registered by nobody else': async (app, options) => { await app.register(rpcPlugin, options) },
  'registered by the host before': async (app, options) => {
    await app.register(websocket)
    await app.register(rpcPlugin, options)
  },
  'registered by the host after': async (app, options) => {
    await app.register(rpcPlugin, options)
    await app.register(websocket)
  }
})) {
  t.test(`all kinds over injectWS, @fastify/websocket ${name}`, async (t) => {
    const { app } = makeApp(t)
    await register(app, { windowBytes: 128 * 1024 })
    app.rpc
      .register('p', 'S', 'Echo', echo)
      .register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))
      .register('p', 'S', 'Up', new SendHandler(async (_context, stream) => {
        let sum = 0
        for await (const message of stream.recv()) for (const byte of message) sum += byte
        return bytes(String(sum))
      }))
      .register('p', 'S', 'Down', new RecvHandler(async (_context, stream) => {
        for (let i = 0; i < 300; i++) await stream.send(new Uint8Array(5000).fill(i % 256))
      }))
    await app.ready()
    t.ok(app.websocketServer)
    const socket = await app.injectWS('/rpc')
    const client = await connect(webSocketTransport(socket, { copiesWrites: true }))
    const big = new Uint8Array(500_000).map((_, i) => i % 251)
    t.ok(Buffer.from(await client.sync('p', 'S', 'Echo').call(big)).equals(big))
    const chat = client.biDir('p', 'S', 'Chat')
    const answers = chat.recv()[Symbol.asyncIterator]()
    for (let i = 0; i < 50; i++) {
      await chat.send(new Uint8Array(2000).fill(i))
      t.strictSame((await answers.next()).value, new Uint8Array(2000).fill(i))
    }
    chat.closeSend()
    t.equal((await answers.next()).done, true)
    const up = client.send('p', 'S', 'Up')
    for (let i = 0; i < 200; i++) await up.send(new Uint8Array(4000).fill(1))
    t.equal(text(await up.close()), '800000')
    let received = 0
    for await (const message of client.recv('p', 'S', 'Down')) {
      if (message.every((byte) => byte === received % 256)) received++
    }
    t.equal(received, 300)
    await t.rejects(app.injectWS('/nowhere'), { message: 'Unexpected server response: 404' })
    await t.rejects(app.injectWS('/rpc', { headers: { origin: 'https://evil.example' } }), { message: 'Unexpected server response: 403' })
    const began = performance.now()
    await app.close()
    t.ok(performance.now() - began < 1000, 'closes at once')
    await client.closed
  })
}

t.test('listening on localhost, both addresses serve and close', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  app.rpc.register('p', 'S', 'Echo', echo)
  await app.listen({ port: 0 })
  for (const address of app.addresses() as AddressInfo[]) {
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
    const client = await connect(`ws://${host}:${address.port}/rpc`, { WebSocket })
    t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes('hi'))), 'hi', host)
  }
  await app.close()
})

t.test('other listeners of upgrade are left alone', async (t) => {
  const { app } = makeApp(t)
  await app.register(rpcPlugin)
  await app.ready()
  t.equal(app.server.listenerCount('upgrade'), 1)
  const other = (): void => {}
  app.server.on('upgrade', other)
  await app.close()
  t.strictSame(app.server.listeners('upgrade'), [other])
})
