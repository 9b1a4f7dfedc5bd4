// The seed, name by name: every exported name of the Go package `server` has its counterpart in lib/index.ts, and does
// here what it does there. One subtest for each name; the last one looks whether any is missing.
import t from 'tap'
import type { Test } from 'tap'
import {
  BiDirHandler, BiDirStream, Category, Compression, ErrorCode, Metadata, PROTOCOL_MAJOR, PROTOCOL_MINOR, RecvHandler, RecvStream, Registry, RpcError,
  RpcType, SendHandler, SendStream, Server, ServerConn, SyncHandler, memoryPair
} from '../lib/index.js'
import type {
  Handler, HandlerContext, HandlerInfo, ServerOptions, StreamServerInterceptor, UnaryServerInterceptor
} from '../lib/index.js'
import { connect } from '../lib/client/connect.js'
import type { Client } from '../lib/client/client.js'
import { bytes, failureOf, text, texts } from './helpers/engine.js'
import { Arrivals, Gate } from './helpers/plugin-app.js'

/** Index of the seed's documentation, and what its parts are called here. */
const SEED = {
  ProtocolMajor: 'PROTOCOL_MAJOR',
  ProtocolMinor: 'PROTOCOL_MINOR',
  ErrClosed: 'CLAW_ERR_CLOSED',
  ErrSessionClosed: 'CLAW_ERR_SESSION_CLOSED',
  ErrMessageTooLarge: 'CLAW_ERR_MESSAGE_TOO_LARGE',
  ErrTooManyConnections: 'CLAW_ERR_TOO_MANY_CONNECTIONS',
  ErrHandlerExists: 'CLAW_ERR_HANDLER_EXISTS',
  BiDirHandler: 'BiDirHandler',
  'BiDirHandler.HandleFunc': 'BiDirHandler.handle',
  'BiDirHandler.Type': 'BiDirHandler.type',
  BiDirStream: 'BiDirStream',
  'BiDirStream.Context': 'BiDirStream.context',
  'BiDirStream.Err': 'BiDirStream.err',
  'BiDirStream.Recv': 'BiDirStream.recv',
  'BiDirStream.Send': 'BiDirStream.send',
  'BiDirStream.SetTrailer': 'BiDirStream.setTrailer',
  'BiDirStream.Trailer': 'BiDirStream.trailer',
  Handler: 'Handler',
  HandlerInfo: 'HandlerInfo',
  Option: 'ServerOptions',
  New: 'new Server',
  WithCompression: 'compression',
  WithMaxConcurrentRPCs: 'maxConcurrentRPCs',
  WithMaxConnections: 'maxConnections',
  WithMaxRecvMsgSize: 'maxRecvMsgSize',
  WithMaxSendMsgSize: 'maxSendMsgSize',
  WithPacking: 'packing',
  WithStreamInterceptor: 'streamInterceptors',
  WithUnaryInterceptor: 'unaryInterceptors',
  RecvHandler: 'RecvHandler',
  'RecvHandler.HandleFunc': 'RecvHandler.handle',
  'RecvHandler.Type': 'RecvHandler.type',
  RecvStream: 'RecvStream',
  'RecvStream.Context': 'RecvStream.context',
  'RecvStream.Err': 'RecvStream.err',
  'RecvStream.Recv': 'RecvStream.recv',
  'RecvStream.SetTrailer': 'RecvStream.setTrailer',
  'RecvStream.Trailer': 'RecvStream.trailer',
  Registry: 'Registry',
  'Registry.Handlers': 'Registry.handlers',
  'Registry.LookupByDescr': 'Registry.lookupByDescr',
  SendHandler: 'SendHandler',
  'SendHandler.HandleFunc': 'SendHandler.handle',
  'SendHandler.Type': 'SendHandler.type',
  SendStream: 'SendStream',
  'SendStream.Context': 'SendStream.context',
  'SendStream.Send': 'SendStream.send',
  'SendStream.SetTrailer': 'SendStream.setTrailer',
  'SendStream.Trailer': 'SendStream.trailer',
  Server: 'Server',
  'Server.IsDraining': 'Server.isDraining',
  'Server.Register': 'Server.register',
  'Server.Registry': 'Server.registry',
  'Server.Serve': 'Server.serve',
  'Server.Shutdown': 'Server.shutdown',
  ServerConn: 'ServerConn',
  'ServerConn.Close': 'ServerConn.close',
  'ServerConn.GracefulClose': 'ServerConn.gracefulClose',
  'ServerConn.IsDraining': 'ServerConn.isDraining',
  SyncHandler: 'SyncHandler',
  'SyncHandler.HandleFunc': 'SyncHandler.handle',
  'SyncHandler.Type': 'SyncHandler.type',
  // Names of other packages that the signatures above mention.
  'msgs.RPCType': 'RpcType',
  'msgs.Compression': 'Compression',
  'msgs.Metadata': 'Metadata',
  'metadata.MD': 'Metadata',
  'errors.Category': 'Category'
} as const

type SeedName = keyof typeof SEED

const exercised = new Set<string>()

/** The subtest of one name of the seed. */
function seed (name: SeedName, run: (t: Test) => void | Promise<void>): void {
  exercised.add(name)
  t.test(`${name}: ${SEED[name]}`, async (t) => { await run(t) })
}

// Connections in memory hold no handle.
const alive = setInterval(() => {}, 1000)
t.teardown(() => { clearInterval(alive) })

/** Both ends of a connection to the server. */
async function connected (t: Test, server: Server): Promise<{ client: Client, connection: ServerConn }> {
  const [atServer, atClient] = memoryPair()
  const connection = server.connect(atServer)
  const client = await connect(atClient)
  t.teardown(async () => {
    client.destroy()
    await connection.closed
  })
  return { client, connection }
}

/** A server with one handler, p.S/Call, and a client of it. */
async function serving (t: Test, handler: Handler, options: ServerOptions = {}): Promise<{ server: Server, client: Client, connection: ServerConn }> {
  const server = new Server(options)
  server.register('p', 'S', 'Call', handler)
  return { server, ...await connected(t, server) }
}

/** A handler of each kind that gives its stream to the test. */
function holding <Stream> (use: (stream: Stream, context: HandlerContext) => Promise<void>): (context: HandlerContext, stream: Stream) => Promise<void> {
  return (context, stream) => use(stream, context)
}

const echo = new SyncHandler(async (_context, request) => request)

// --- constants

seed('ProtocolMajor', (t) => { t.equal(PROTOCOL_MAJOR, 1) })
seed('ProtocolMinor', async (t) => {
  t.equal(PROTOCOL_MINOR, 1)
  for (const minorVersion of [0, 1] as const) {
    const { client } = await serving(t, echo, { minorVersion })
    await client.sync('p', 'S', 'Call').call(bytes('x'))
    t.equal(client.minor, minorVersion, 'the seed\'s 0 is spoken as well')
  }
})

// --- errors

seed('ErrClosed', async (t) => {
  const server = new Server()
  await server.shutdown()
  await t.rejects(server.serve(memoryPair()[0]), { code: 'CLAW_ERR_CLOSED', message: 'server closed' })
  t.equal(ErrorCode.CLOSED, 'CLAW_ERR_CLOSED')
})

seed('ErrSessionClosed', async (t) => {
  let error: unknown
  const done = new Gate()
  const { client } = await serving(t, new BiDirHandler(async (context, stream) => {
    await new Promise((resolve) => { context.signal.addEventListener('abort', resolve) })
    await stream.send(bytes('x')).catch((reason: unknown) => { error = reason })
    done.open()
  }))
  const stream = client.biDir('p', 'S', 'Call')
  await stream.send(bytes('x'))
  stream.cancel()
  await done.opened
  t.ok(RpcError.is(error), 'after its end nothing can be sent; the error says what ended it')
  t.match(error, { category: Category.Canceled })
  const over = client.biDir('p', 'S', 'Nowhere')
  await over.ended
  t.match(await failureOf(over.send(bytes('x'))), { category: Category.Unimplemented })
  const well = (await serving(t, new BiDirHandler(async () => {}))).client.biDir('p', 'S', 'Call')
  t.equal(await well.ended, undefined)
  t.match(await failureOf(well.send(bytes('x'))), { code: ErrorCode.SESSION_CLOSED }, 'after a good end there is no other reason')
})

seed('ErrMessageTooLarge', async (t) => {
  const { client } = await serving(t, new SyncHandler(async () => new Uint8Array(101)), { maxSendMsgSize: 100 })
  t.match(await failureOf(client.sync('p', 'S', 'Call').call(bytes('x'))), { category: Category.ResourceExhausted, message: /exceeds/ })
  const atCaller = await failureOf(client.sync('p', 'S', 'Call').call(new Uint8Array(5 * 1024 * 1024)))
  t.equal(atCaller.code, ErrorCode.MESSAGE_TOO_LARGE)
})

seed('ErrTooManyConnections', async (t) => {
  const server = new Server({ maxConnections: 1 })
  await connected(t, server)
  await t.rejects(server.serve(memoryPair()[0]), { code: 'CLAW_ERR_TOO_MANY_CONNECTIONS' })
  t.equal(ErrorCode.TOO_MANY_CONNECTIONS, 'CLAW_ERR_TOO_MANY_CONNECTIONS')
})

seed('ErrHandlerExists', (t) => {
  const server = new Server()
  server.register('p', 'S', 'Call', echo)
  t.throws(() => { server.register('p', 'S', 'Call', echo) }, { code: 'CLAW_ERR_HANDLER_EXISTS' })
  t.equal(ErrorCode.HANDLER_EXISTS, 'CLAW_ERR_HANDLER_EXISTS')
})

// --- handlers

seed('Handler', async (t) => {
  const handlers: Handler[] = [echo, new BiDirHandler(async () => {}), new SendHandler(async () => {}), new RecvHandler(async () => {})]
  t.equal(new Set(handlers.map(({ type }) => type)).size, 4)
})

seed('SyncHandler', async (t) => {
  const { client } = await serving(t, echo)
  t.equal(text(await client.sync('p', 'S', 'Call').call(bytes('tea'))), 'tea')
})
seed('SyncHandler.HandleFunc', async (t) => {
  const handler = new SyncHandler(async (context, request, metadata) => bytes(`${context.call} ${text(request)} ${metadata.get('a') ?? ''}`))
  t.type(handler.handle, 'function')
  const { client } = await serving(t, handler)
  t.equal(text(await client.sync('p', 'S', 'Call').call(bytes('tea'), { metadata: { a: 'b' } })), 'Call tea b')
})
seed('SyncHandler.Type', (t) => { t.equal(echo.type, RpcType.Synchronous) })

seed('BiDirHandler', async (t) => {
  const { client } = await serving(t, new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))
  const stream = client.biDir('p', 'S', 'Call')
  await stream.send(bytes('a'))
  stream.closeSend()
  t.strictSame(await texts(stream.recv()), ['a'])
})
seed('BiDirHandler.HandleFunc', async (t) => {
  const handler = new BiDirHandler(async () => { throw new RpcError(Category.NotFound, 'what it throws is the outcome') })
  t.type(handler.handle, 'function')
  const { client } = await serving(t, handler)
  t.match(await failureOf(texts(client.biDir('p', 'S', 'Call').recv())), { category: Category.NotFound, message: 'what it throws is the outcome' })
})
seed('BiDirHandler.Type', (t) => { t.equal(new BiDirHandler(async () => {}).type, RpcType.BiDirectional) })

seed('SendHandler', async (t) => {
  const { client } = await serving(t, new SendHandler(async (_context, stream) => bytes((await texts(stream.recv())).join())))
  const stream = client.send('p', 'S', 'Call')
  await stream.send(bytes('a'))
  await stream.send(bytes('b'))
  t.equal(text(await stream.close()), 'a,b')
})
seed('SendHandler.HandleFunc', async (t) => {
  const handler = new SendHandler(async () => {})
  t.type(handler.handle, 'function')
  const { client } = await serving(t, handler)
  t.equal((await client.send('p', 'S', 'Call').close()).byteLength, 0, 'it need not answer')
})
seed('SendHandler.Type', (t) => { t.equal(new SendHandler(async () => {}).type, RpcType.Send) })

seed('RecvHandler', async (t) => {
  const { client } = await serving(t, new RecvHandler(async (_context, stream) => { for (const message of ['a', 'b']) await stream.send(bytes(message)) }))
  t.strictSame(await texts(client.recv('p', 'S', 'Call')), ['a', 'b'])
})
seed('RecvHandler.HandleFunc', async (t) => {
  const handler = new RecvHandler(async (_context, stream) => { await stream.send(await stream.request()) })
  t.type(handler.handle, 'function')
  const { client } = await serving(t, handler)
  t.strictSame(await texts(client.recv('p', 'S', 'Call', { request: bytes('r') })), ['r'])
})
seed('RecvHandler.Type', (t) => { t.equal(new RecvHandler(async () => {}).type, RpcType.Recv) })

// --- streams

seed('BiDirStream', async (t) => {
  const { client } = await serving(t, new BiDirHandler(holding(async (stream) => { t.type(stream, BiDirStream) })))
  t.equal(await client.biDir('p', 'S', 'Call').ended, undefined)
})
seed('BiDirStream.Context', async (t) => {
  const { client } = await serving(t, new BiDirHandler(holding(async (stream, context) => { t.equal(stream.context, context) })))
  t.equal(await client.biDir('p', 'S', 'Call').ended, undefined)
})
seed('BiDirStream.Err', async (t) => {
  const done = new Gate()
  let err: RpcError | undefined
  const { client } = await serving(t, new BiDirHandler(async (_context, stream) => {
    t.equal(stream.err, undefined, 'none while it runs')
    await texts(stream.recv()).catch(() => {})
    err = stream.err
    done.open()
  }))
  const stream = client.biDir('p', 'S', 'Call')
  await stream.send(bytes('x'))
  stream.cancel()
  await done.opened
  t.match(err, { category: Category.Canceled })
})
seed('BiDirStream.Recv', async (t) => {
  const [arrived, canceled, done] = [new Gate(), new Gate(), new Gate()]
  const got: string[] = []
  let end: unknown
  const { client } = await serving(t, new BiDirHandler(async (context, stream) => {
    context.signal.addEventListener('abort', () => { canceled.open() })
    arrived.open()
    await canceled.opened
    try {
      for await (const message of stream.recv()) got.push(text(message))
    } catch (error) {
      end = error
    }
    done.open()
  }))
  const stream = client.biDir('p', 'S', 'Call')
  await stream.send(bytes('a'))
  await arrived.opened
  await stream.send(bytes('b'))
  await stream.send(bytes('c'))
  stream.cancel()
  await done.opened
  t.strictSame(got, ['a', 'b', 'c'], 'what was buffered is still yielded')
  t.match(end, { category: Category.Canceled }, 'then it throws the reason')
})
seed('BiDirStream.Send', async (t) => {
  const { client } = await serving(t, new BiDirHandler(async (_context, stream) => {
    const sent = stream.send(bytes('a'))
    t.ok(sent instanceof Promise, 'which is its backpressure')
    await sent
  }))
  t.strictSame(await texts(client.biDir('p', 'S', 'Call').recv()), ['a'])
})
seed('BiDirStream.SetTrailer', async (t) => {
  const { client } = await serving(t, new BiDirHandler(async (_context, stream) => {
    stream.setTrailer({ a: '1', b: '1' })
    stream.setTrailer({ B: '2' })
  }))
  const stream = client.biDir('p', 'S', 'Call')
  await stream.ended
  t.strictSame(stream.trailer.toObject(), { a: '1', b: '2' }, 'later calls merge; it comes with the Close')
})
seed('BiDirStream.Trailer', async (t) => {
  const { client } = await serving(t, new BiDirHandler(async (_context, stream) => {
    stream.setTrailer({ a: '1' })
    t.strictSame(stream.trailer.toObject(), { a: '1' })
  }))
  t.equal(await client.biDir('p', 'S', 'Call').ended, undefined)
})

const sending = async (t: Test, use: (stream: RecvStream, context: HandlerContext) => Promise<void>): Promise<ReturnType<Client['send']>> => {
  const { client } = await serving(t, new SendHandler(holding(use)))
  return client.send('p', 'S', 'Call')
}

seed('RecvStream', async (t) => {
  const stream = await sending(t, async (stream) => { t.type(stream, RecvStream) })
  await stream.close()
})
seed('RecvStream.Context', async (t) => {
  const stream = await sending(t, async (stream, context) => { t.equal(stream.context, context) })
  await stream.close()
})
seed('RecvStream.Err', async (t) => {
  const done = new Gate()
  let err: RpcError | undefined
  const stream = await sending(t, async (stream) => {
    await texts(stream.recv()).catch(() => {})
    err = stream.err
    done.open()
  })
  await stream.send(bytes('x'))
  stream.cancel()
  await done.opened
  t.match(err, { category: Category.Canceled })
})
seed('RecvStream.Recv', async (t) => {
  const got: string[] = []
  const stream = await sending(t, async (stream) => { for await (const message of stream.recv()) got.push(text(message)) })
  await stream.send(bytes('a'))
  await stream.send(bytes('b'))
  await stream.close()
  t.strictSame(got, ['a', 'b'])
})
seed('RecvStream.SetTrailer', async (t) => {
  const stream = await sending(t, async (stream) => { stream.setTrailer({ a: '1' }) })
  await stream.close()
  t.equal(stream.trailer.get('a'), '1')
})
seed('RecvStream.Trailer', async (t) => {
  const stream = await sending(t, async (stream) => {
    stream.setTrailer({ a: '1' })
    t.equal(stream.trailer.get('A'), '1')
  })
  await stream.close()
})

const receiving = async (t: Test, use: (stream: SendStream, context: HandlerContext) => Promise<void>): Promise<ReturnType<Client['recv']>> => {
  const { client } = await serving(t, new RecvHandler(holding(use)))
  return client.recv('p', 'S', 'Call')
}

seed('SendStream', async (t) => { await texts(await receiving(t, async (stream) => { t.type(stream, SendStream) })) })
seed('SendStream.Context', async (t) => { await texts(await receiving(t, async (stream, context) => { t.equal(stream.context, context) })) })
seed('SendStream.Send', async (t) => { t.strictSame(await texts(await receiving(t, async (stream) => { await stream.send(bytes('a')) })), ['a']) })
seed('SendStream.SetTrailer', async (t) => {
  const stream = await receiving(t, async (stream) => { stream.setTrailer({ a: '1' }) })
  await texts(stream)
  t.equal(stream.trailer.get('a'), '1')
})
seed('SendStream.Trailer', async (t) => {
  await texts(await receiving(t, async (stream) => {
    stream.setTrailer({ a: '1' })
    t.equal(stream.trailer.get('A'), '1')
  }))
})

// --- registry

seed('Registry', (t) => {
  t.type(new Server().registry, Registry)
  t.strictSame([...new Registry().handlers()], [], 'it also stands alone')
})
seed('HandlerInfo', (t) => {
  const registry = new Registry()
  registry.register('p', 'S', 'Call', echo)
  const [info] = [...registry.handlers()]
  const expected: HandlerInfo = { package: 'p', service: 'S', call: 'Call', type: RpcType.Synchronous }
  t.strictSame(info, expected)
})
seed('Registry.Handlers', (t) => {
  const registry = new Registry()
  registry.register('p', 'S', 'One', echo)
  registry.register('p', 'S', 'Two', new RecvHandler(async () => {}))
  t.strictSame([...registry.handlers()].map(({ call, type }) => [call, type]), [['One', RpcType.Synchronous], ['Two', RpcType.Recv]])
})
seed('Registry.LookupByDescr', (t) => {
  const registry = new Registry()
  registry.register('p', 'S', 'Call', echo)
  t.equal(registry.lookupByDescr({ package: 'p', service: 'S', call: 'Call' })?.handler, echo)
  t.equal(registry.lookup('p', 'S', 'Call')?.handler, echo)
  t.equal(registry.lookupByDescr({ package: 'p', service: 'S', call: 'call' }), undefined)
})

// --- options

seed('Option', (t) => {
  const options: ServerOptions = { packing: true, maxConnections: 7 }
  t.match(new Server(options).options, options)
  t.throws(() => new Server({ maxConnections: -1 }), { code: 'CLAW_ERR_OPTION_INVALID' })
})
seed('New', (t) => {
  const { options } = new Server()
  t.match(options, {
    compression: 'none', maxConcurrentRPCs: 0, maxConnections: 0, maxRecvMsgSize: 4 * 1024 * 1024, maxSendMsgSize: 4 * 1024 * 1024, packing: false, streamInterceptors: [], unaryInterceptors: []
  }, 'the seed\'s defaults')
})
seed('WithCompression', async (t) => {
  const answer = new Uint8Array(100_000)
  const sizes: number[] = []
  for (const compression of ['none', 'gzip'] as const) {
    const server = new Server({ compression })
    server.register('p', 'S', 'Call', new SyncHandler(async () => answer))
    const [atServer, atClient] = memoryPair()
    const connection = server.connect(atServer)
    const { gzip } = await import('../lib/compression/gzip.js')
    const client = await connect(atClient, { compressors: [gzip()] })
    t.strictSame(await client.sync('p', 'S', 'Call').call(bytes('x')), answer)
    sizes.push(server.stats().bytesSent)
    client.destroy()
    await connection.closed
  }
  const [plain = 0, compressed = 0] = sizes
  t.ok(plain > 100_000 && compressed < 2000, `${plain} and ${compressed} bytes`)
})
seed('WithMaxConcurrentRPCs', async (t) => {
  const [gate, arrivals] = [new Gate(), new Arrivals()]
  const { client, server } = await serving(t, new SyncHandler(async (_context, request) => {
    arrivals.arrive()
    await gate.opened
    return request
  }), { maxConcurrentRPCs: 2 })
  const calls = ['a', 'b', 'c'].map((request) => client.sync('p', 'S', 'Call').call(bytes(request)))
  await arrivals.reach(2)
  while (server.stats().queued === 0) await new Promise((resolve) => { setImmediate(resolve) })
  t.match(server.stats(), { running: 2, queued: 1 })
  gate.open()
  t.strictSame((await Promise.all(calls)).map(text), ['a', 'b', 'c'])
})
seed('WithMaxConnections', async (t) => {
  const server = new Server({ maxConnections: 1 })
  const { client } = await connected(t, server)
  t.match(server.refusal, { code: ErrorCode.TOO_MANY_CONNECTIONS })
  await client.close()
  t.equal(server.refusal, undefined)
})
seed('WithMaxRecvMsgSize', async (t) => {
  const { client } = await serving(t, echo, { maxRecvMsgSize: 100 })
  const call = client.sync('p', 'S', 'Call')
  t.match(await failureOf(call.call(new Uint8Array(101))), { category: Category.ResourceExhausted })
  t.equal((await call.call(new Uint8Array(100))).byteLength, 100)
})
seed('WithMaxSendMsgSize', async (t) => {
  const { client } = await serving(t, new RecvHandler(async (_context, stream) => {
    await stream.send(new Uint8Array(100))
    t.match(await failureOf(stream.send(new Uint8Array(101))), { code: ErrorCode.MESSAGE_TOO_LARGE })
  }), { maxSendMsgSize: 100 })
  t.equal((await texts(client.recv('p', 'S', 'Call'))).length, 1)
})
seed('WithPacking', async (t) => {
  const sizes: number[] = []
  for (const packing of [false, true]) {
    const server = new Server({ packing })
    server.register('p', 'S', 'Call', echo)
    const [atServer, atClient] = memoryPair()
    const connection = server.connect(atServer)
    const client = await connect(atClient, { packing: true })
    t.equal((await client.sync('p', 'S', 'Call').call(new Uint8Array(10_000))).byteLength, 10_000)
    sizes.push(server.stats().bytesSent)
    client.destroy()
    await connection.closed
  }
  const [plain = 0, packed = 0] = sizes
  t.ok(plain > 10_000 && packed < 5000, `granted where the client asks and the option is on: ${plain} and ${packed} bytes`)
})
seed('WithUnaryInterceptor', async (t) => {
  const add = (letter: string): UnaryServerInterceptor => async (call, next) => await next({ ...call, request: bytes(text(call.request) + letter) })
  const { client } = await serving(t, echo, { unaryInterceptors: [add('a'), add('b')] })
  t.equal(text(await client.sync('p', 'S', 'Call').call(bytes('x'))), 'xab', 'in the order provided')
})
seed('WithStreamInterceptor', async (t) => {
  const seen: string[] = []
  const see = (letter: string): StreamServerInterceptor => async (call, next) => {
    seen.push(letter)
    return await next(call)
  }
  const { client } = await serving(t, new SendHandler(async () => {}), { streamInterceptors: [see('a'), see('b')] })
  await client.send('p', 'S', 'Call').close()
  t.strictSame(seen, ['a', 'b'], 'in the order provided')
})

// --- server and connection

seed('Server', async (t) => {
  const server = new Server()
  server.register('p', 'S', 'Call', echo)
  const { client } = await connected(t, server)
  t.equal(text(await client.sync('p', 'S', 'Call').call(bytes('x'))), 'x', 'usable without Fastify')
})
seed('Server.IsDraining', async (t) => {
  const server = new Server()
  t.equal(server.isDraining, false)
  await server.shutdown()
  t.equal(server.isDraining, true)
})
seed('Server.Register', async (t) => {
  const server = new Server()
  const { client } = await connected(t, server)
  t.match(await failureOf(client.sync('p', 'S', 'Call').call(bytes('x'))), { category: Category.Unimplemented })
  server.register('p', 'S', 'Call', echo)
  t.equal(text(await client.sync('p', 'S', 'Call').call(bytes('x'))), 'x', 'also while connections are served')
})
seed('Server.Registry', (t) => {
  const server = new Server()
  server.register('p', 'S', 'Call', echo)
  t.equal([...server.registry.handlers()].length, 1)
})
seed('Server.Serve', async (t) => {
  const server = new Server()
  server.register('p', 'S', 'Call', echo)
  const [atServer, atClient] = memoryPair()
  let isOver = false
  const serving = server.serve(atServer).then(() => { isOver = true })
  const client = await connect(atClient)
  await client.sync('p', 'S', 'Call').call(bytes('x'))
  t.equal(isOver, false)
  await client.close()
  await serving
  t.equal(isOver, true, 'it lasts as long as the connection')

  const [lost, gone] = memoryPair()
  const failing = server.serve(lost)
  gone.start({ onData () {}, onClose () {} })
  gone.destroy(new Error('torn'))
  t.match(await failureOf(failing), { code: ErrorCode.CONNECTION_LOST }, 'and fails with what ended it')
})
seed('Server.Shutdown', async (t) => {
  const [gate, arrivals] = [new Gate(), new Arrivals()]
  const wait = new SyncHandler(async (_context, request) => {
    arrivals.arrive()
    await gate.opened
    return request
  })
  const graceful = await serving(t, wait)
  const running = graceful.client.sync('p', 'S', 'Call').call(bytes('x'))
  await arrivals.reach(1)
  const shutdown = graceful.server.shutdown()
  gate.open()
  t.equal(text(await running), 'x', 'waits for what runs')
  t.equal(await shutdown, true)
  t.equal(graceful.server.connections.size, 0)

  const forced = await serving(t, new SyncHandler((context) => new Promise((_resolve, reject) => {
    context.signal.addEventListener('abort', () => { reject(RpcError.from(context.signal.reason)) })
    arrivals.arrive()
  })))
  const cut = failureOf(forced.client.sync('p', 'S', 'Call').call(bytes('x')))
  await arrivals.reach(2)
  t.equal(await forced.server.shutdown({ signal: AbortSignal.abort() }), false)
  t.match(await cut, { category: Category.Unavailable }, 'unless its signal has lost patience')
})

const waiting = async (t: Test): Promise<{ connection: ServerConn, client: Client, finish: () => void, call: Promise<Uint8Array> }> => {
  const [gate, arrivals] = [new Gate(), new Arrivals()]
  const { client, connection } = await serving(t, new SyncHandler(async (_context, request) => {
    arrivals.arrive()
    await gate.opened
    return request
  }))
  const call = client.sync('p', 'S', 'Call').call(bytes('x'))
  call.catch(() => {})
  await arrivals.reach(1)
  return { connection, client, finish: gate.open, call }
}

seed('ServerConn', async (t) => {
  const { connection, server } = await serving(t, echo)
  t.type(connection, ServerConn)
  t.ok(server.connections.has(connection))
})
seed('ServerConn.Close', async (t) => {
  const { connection, call, finish } = await waiting(t)
  await connection.close()
  t.match(await failureOf(call), { category: Category.Unavailable }, 'at once, without waiting for handlers')
  finish()
})
seed('ServerConn.GracefulClose', async (t) => {
  const { connection, call, finish } = await waiting(t)
  const closing = connection.gracefulClose()
  finish()
  t.equal(text(await call), 'x')
  t.equal(await closing, true, 'everything could finish')

  const other = await waiting(t)
  t.equal(await other.connection.gracefulClose({ signal: AbortSignal.abort() }), false)
  t.match(await failureOf(other.call), { category: Category.Unavailable })
  other.finish()
})
seed('ServerConn.IsDraining', async (t) => {
  const { connection, finish } = await waiting(t)
  t.equal(connection.isDraining, false)
  const closing = connection.gracefulClose()
  t.equal(connection.isDraining, true)
  finish()
  await closing
})

// --- what the signatures mention

seed('msgs.RPCType', (t) => { t.strictSame({ ...RpcType }, { Synchronous: 1, Send: 2, Recv: 3, BiDirectional: 4 }) })
seed('msgs.Compression', (t) => { t.match(Object.keys(Compression), ['None', 'Gzip', 'Snappy', 'Zstd']) })
seed('msgs.Metadata', async (t) => {
  const { client } = await serving(t, new SyncHandler(async (_context, _request, metadata) => {
    t.type(metadata, Metadata)
    return metadata.getBytes('a') ?? bytes('')
  }))
  t.strictSame(await client.sync('p', 'S', 'Call').call(bytes(''), { metadata: { A: Uint8Array.of(1, 2, 255) } }), Uint8Array.of(1, 2, 255))
})
seed('metadata.MD', (t) => {
  const metadata = new Metadata({ Tenant: 'acme' }).append('list', '1').append('list', '2')
  t.equal(metadata.get('TENANT'), 'acme')
  t.equal(metadata.getAll('list').length, 2)
})
seed('errors.Category', (t) => {
  t.equal(Object.keys(Category).length, 17)
  t.match(Category, { OK: 0, Canceled: 1, Internal: 13, Unauthenticated: 16 })
})

t.test('no name is missing', (t) => {
  t.strictSame([...exercised].sort(), Object.keys(SEED).sort())
  t.end()
})
