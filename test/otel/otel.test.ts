// OpenTelemetry on both sides: what spans and measurements say, whose child a span is, when it ends.
import { SpanKind, SpanStatusCode, TraceFlags, context, trace } from '@opentelemetry/api'
import * as conventions from '@opentelemetry/semantic-conventions'
import t from 'tap'
import type { Test } from 'tap'
import { Category, RpcError, categoryName } from '../../lib/errors.js'
import { Metadata } from '../../lib/metadata.js'
import { Attribute, DURATION_BUCKETS, DurationMetric, SCHEMA_URL, methodName } from '../../lib/otel/conventions.js'
import { otelClient, otelServer } from '../../lib/otel/index.js'
import type { OtelOptions } from '../../lib/otel/index.js'
import { rpcPlugin } from '../../lib/plugin.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import type { ClientOptions } from '../../types/client-options.js'
import type { ServerOptions } from '../../types/options.js'
import { bytes, failureOf, makeEngine, text, texts } from '../helpers/engine.js'
import type { Engine, EngineOptions } from '../helpers/engine.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { Arrivals, Gate, connectTo, listen, makeApp } from '../helpers/plugin-app.js'
import { msg, names, scriptedClient, until } from '../helpers/scripted-peer.js'
import { TelemetrySdk } from './telemetry-sdk.js'

const serverWith = (options: OtelOptions): ServerOptions => {
  const { unaryInterceptor, streamInterceptor } = otelServer(options)
  return { unaryInterceptors: [unaryInterceptor], streamInterceptors: [streamInterceptor] }
}

const clientWith = (options: OtelOptions): ClientOptions => {
  const { unaryInterceptor, streamInterceptor } = otelClient(options)
  return { unaryInterceptors: [unaryInterceptor], streamInterceptors: [streamInterceptor] }
}

/** An engine whose both ends are observed. */
function observed (t: Test, options: EngineOptions = {}, otel: OtelOptions = {}): Engine & { sdk: TelemetrySdk } {
  const sdk = new TelemetrySdk()
  const { tracerProvider, meterProvider } = sdk
  const own = { tracerProvider, meterProvider, ...otel }
  return { ...makeEngine(t, { ...options, server: serverWith(own), client: clientWith(own) }), sdk }
}

t.test('the names are those of the conventions', (t) => {
  t.strictSame(Attribute, {
    SYSTEM_NAME: conventions.ATTR_RPC_SYSTEM_NAME,
    METHOD: conventions.ATTR_RPC_METHOD,
    STATUS_CODE: conventions.ATTR_RPC_STATUS_CODE,
    ERROR_TYPE: conventions.ATTR_ERROR_TYPE,
    SERVER_ADDRESS: conventions.ATTR_SERVER_ADDRESS,
    SERVER_PORT: conventions.ATTR_SERVER_PORT,
    CLIENT_ADDRESS: conventions.ATTR_CLIENT_ADDRESS
  })
  t.strictSame(DurationMetric, { server: conventions.METRIC_RPC_SERVER_CALL_DURATION, client: conventions.METRIC_RPC_CLIENT_CALL_DURATION })
  t.equal(methodName({ package: 'shop', service: 'Cart', call: 'Add' }), 'shop.Cart/Add')
  t.equal(methodName({ package: '', service: 'Cart', call: 'Add' }), 'Cart/Add')
  t.end()
})

t.test('a synchronous call: one span on each side, the server\'s the child of the client\'s', async (t) => {
  const { sdk, server, client } = observed(t, {}, { serverAddress: 'rpc.example.org', serverPort: 443 })
  const program = sdk.tracer.startSpan('program')
  let inside: unknown
  server.register('shop', 'Cart', 'Add', new SyncHandler(async (_context, request) => {
    await Promise.resolve()
    inside = trace.getActiveSpan()?.spanContext()
    return request
  }))
  const add = client.sync('shop', 'Cart', 'Add')
  t.equal(text(await context.with(trace.setSpan(context.active(), program), () => add.call(bytes('tea')))), 'tea')

  const [clientSpan, serverSpan] = [sdk.single('client'), sdk.single('server')]
  t.equal(clientSpan.name, 'shop.Cart/Add')
  t.equal(clientSpan.parentSpanContext?.spanId, program.spanContext().spanId)
  t.strictSame(clientSpan.attributes, {
    'rpc.system.name': 'claw', 'rpc.method': 'shop.Cart/Add', 'rpc.status_code': 'OK', 'server.address': 'rpc.example.org', 'server.port': 443
  })
  t.equal(serverSpan.name, 'shop.Cart/Add')
  t.match(serverSpan.parentSpanContext, { spanId: clientSpan.spanContext().spanId, traceId: program.spanContext().traceId, isRemote: true })
  t.strictSame(serverSpan.attributes, {
    'rpc.system.name': 'claw',
    'rpc.method': 'shop.Cart/Add',
    'rpc.status_code': 'OK',
    'server.address': 'rpc.example.org',
    'server.port': 443,
    'client.address': '192.0.2.1'
  })
  for (const span of [clientSpan, serverSpan]) {
    t.equal(span.status.code, SpanStatusCode.UNSET)
    t.match(span.instrumentationScope, { name: 'fastify-claw', schemaUrl: SCHEMA_URL })
  }
  t.strictSame(inside, serverSpan.spanContext(), 'the handler runs inside the span')
})

t.test('each request of a synchronous session has its own parent', async (t) => {
  const { sdk, server, client } = observed(t)
  server.register('p', 'S', 'Echo', new SyncHandler(async (_context, request) => request))
  const echo = client.sync('p', 'S', 'Echo')
  await Promise.all(['a', 'b', 'c'].map((name) => {
    const span = sdk.tracer.startSpan(name)
    return context.with(trace.setSpan(context.active(), span), () => echo.call(bytes(name)))
  }))
  const traces = sdk.serverSpans.map((span) => span.spanContext().traceId)
  t.equal(new Set(traces).size, 3)
  t.strictSame(new Set(sdk.clientSpans.map((span) => span.spanContext().traceId)), new Set(traces))
})

t.test('a caller\'s metadata travel on and are not changed', async (t) => {
  const { server, client } = observed(t)
  server.register('p', 'S', 'Echo', new SyncHandler(async (_context, _request, metadata) => bytes(`${metadata.get('tenant') ?? ''} ${String(metadata.has('traceparent'))}`)))
  const metadata = new Metadata({ tenant: 'acme' })
  t.equal(text(await client.sync('p', 'S', 'Echo').call(bytes(''), { metadata })), 'acme true')
  t.strictSame(metadata.toObject(), { tenant: 'acme' })
})

t.test('which outcomes are errors: all for the client, the server\'s own for the server', async (t) => {
  const { sdk, server, client } = observed(t)
  const own = new Set<number>([Category.Unknown, Category.DeadlineExceeded, Category.Unimplemented, Category.Internal, Category.Unavailable, Category.DataLoss])
  server.register('p', 'S', 'Fail', new SyncHandler(async (_context, request) => { throw new RpcError(Number(text(request)) as Category, 'no tea') }))
  const fail = client.sync('p', 'S', 'Fail')
  for (const category of Object.values(Category).filter((category) => category !== Category.OK)) {
    sdk.reset()
    const name = categoryName(category)
    t.equal((await failureOf(fail.call(bytes(String(category))))).category, category)
    const failed = { status: { code: SpanStatusCode.ERROR, message: 'no tea' }, attributes: { 'rpc.status_code': name, 'error.type': name } }
    t.match(sdk.single('client'), failed, `${name} in the client`)
    if (own.has(category)) t.match(sdk.single('server'), failed, `${name} in the server`)
    else t.match(sdk.single('server'), { status: { code: SpanStatusCode.UNSET }, attributes: { 'rpc.status_code': name, 'error.type': undefined } }, `${name} in the server`)
  }
})

t.test('a foreign error is Internal to the peer, and keeps its text where it happened', async (t) => {
  const { sdk, server, client } = observed(t)
  server.register('p', 'S', 'Break', new SyncHandler(async () => { throw new RangeError('out of tea') }))
  t.equal((await failureOf(client.sync('p', 'S', 'Break').call(bytes('')))).category, Category.Internal)
  t.match(sdk.single('server'), { status: { code: SpanStatusCode.ERROR, message: 'out of tea' }, attributes: { 'rpc.status_code': 'Internal', 'error.type': 'Internal' } })
  t.match(sdk.single('client'), { status: { message: 'internal error' }, attributes: { 'error.type': 'Internal' } })
})

t.test('an error of the program around a client\'s call has a type and no status', async (t) => {
  const sdk = new TelemetrySdk()
  const { unaryInterceptor } = otelClient(sdk)
  const thrown = [new TypeError('not a cup'), 'a string']
  const { client } = makeEngine(t, { client: { unaryInterceptors: [unaryInterceptor, () => Promise.reject(thrown.shift())] } })
  await t.rejects(client.sync('p', 'S', 'Echo').call(bytes('')), TypeError)
  const call = client.sync('p', 'S', 'Echo').call(bytes(''))
  t.equal(await call.then(() => 'no', (error: unknown) => error), 'a string')
  t.strictSame(sdk.clientSpans.map(({ attributes, status }) => [attributes['error.type'], attributes['rpc.status_code'], status.message]), [
    ['TypeError', undefined, 'not a cup'],
    ['_OTHER', undefined, 'a string']
  ])
})

t.test('a span ends when the peer has its answer, whatever the handler still does', async (t) => {
  const clock = new FakeClock()
  const { sdk, server, client } = observed(t, { clock })
  const arrivals = new Arrivals()
  const gate = new Gate()
  server.register('p', 'S', 'Stay', new SyncHandler(async () => {
    arrivals.arrive()
    await gate.opened
    return bytes('late')
  }))
  const stay = client.sync('p', 'S', 'Stay')

  const late = failureOf(stay.call(bytes(''), { timeoutMs: 100 }))
  await arrivals.reach(1)
  clock.advance(200)
  t.equal((await late).category, Category.DeadlineExceeded)
  t.match(sdk.single('server'), { status: { code: SpanStatusCode.ERROR }, attributes: { 'rpc.status_code': 'DeadlineExceeded' } })
  t.match(sdk.single('client'), { attributes: { 'rpc.status_code': 'DeadlineExceeded', 'error.type': 'DeadlineExceeded' } })

  sdk.reset()
  const controller = new AbortController()
  const canceled = failureOf(stay.call(bytes(''), { signal: controller.signal }))
  await arrivals.reach(2)
  controller.abort()
  t.equal((await canceled).category, Category.Canceled)
  await until(() => sdk.serverSpans.length === 1)
  t.match(sdk.single('server'), { status: { code: SpanStatusCode.UNSET }, attributes: { 'rpc.status_code': 'Canceled', 'error.type': undefined } })
  t.match(sdk.single('client'), { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': 'Canceled' } })

  gate.open()
  await until(() => server.stats().running === 0)
  t.equal(sdk.serverSpans.length, 1, 'and it ended once')
})

t.test('without traceparent the parent is the trace that the Open names', async (t) => {
  const sdk = new TelemetrySdk()
  const traceID = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
  const spanID = Uint8Array.from({ length: 8 }, (_, i) => 0xf0 + i)
  const { peer, server } = scriptedClient(t, serverWith(sdk))
  server.register('p', 'S', 'Sync', new SyncHandler(async (_context, request) => request))
  const parentAfter = async (fields: Parameters<typeof msg.open>[0]): Promise<unknown> => {
    sdk.reset()
    peer.send(msg.open({ ...fields, descr: names.sync, window: 65536, first: msg.first({ reqID: 1, payload: bytes('x') }) }))
    await until(() => sdk.serverSpans.length === 1)
    return sdk.single('server').parentSpanContext
  }
  t.match(await parentAfter({ openID: 1, traceID, spanID }), {
    traceId: '0102030405060708090a0b0c0d0e0f10', spanId: 'f0f1f2f3f4f5f6f7', traceFlags: TraceFlags.SAMPLED, isRemote: true
  })
  const traceparent = '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01'
  t.match(await parentAfter({ openID: 2, traceID, spanID, metadata: new Metadata({ traceparent }).toEntries() }), { spanId: 'bbbbbbbbbbbbbbbb' }, 'traceparent comes first')
  t.match(await parentAfter({ openID: 3, traceID, spanID, metadata: new Metadata({ traceparent: 'nonsense' }).toEntries() }), { spanId: 'f0f1f2f3f4f5f6f7' }, 'unless it is none')
  t.equal(await parentAfter({ openID: 4, traceID: new Uint8Array(16), spanID }), undefined, 'zeros name no trace')
  t.equal(await parentAfter({ openID: 5, traceID: traceID.subarray(1), spanID }), undefined, 'nor do 15 bytes')
  t.equal(await parentAfter({ openID: 6 }), undefined)
})

t.test('a stream has one span, from its opening to its end', async (t) => {
  const { sdk, server, client } = observed(t)
  const during: (string | undefined)[] = []
  const note = (): void => { during.push(trace.getActiveSpan()?.spanContext().spanId) }
  server.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => {
    for await (const message of stream.recv()) {
      note()
      await stream.send(message)
    }
  }))
  server.register('p', 'S', 'Up', new SendHandler(async (_context, stream) => bytes(String((await texts(stream.recv())).length))))
  server.register('p', 'S', 'Down', new RecvHandler(async (_context, stream) => { await stream.send(bytes('one')) }))

  const chat = client.biDir('p', 'S', 'Chat')
  await chat.send(bytes('hello'))
  const answers = chat.recv()
  t.equal(text((await answers.next()).value as Uint8Array), 'hello')
  t.strictSame(sdk.spans, [], 'no span has ended while it runs')
  chat.closeSend()
  t.strictSame(await texts(answers), [])
  const up = client.send('p', 'S', 'Up')
  await up.send(bytes('x'))
  t.equal(text(await up.close()), '1')
  t.strictSame(await texts(client.recv('p', 'S', 'Down')), ['one'])
  await until(() => sdk.spans.length === 6)

  for (const name of ['p.S/Chat', 'p.S/Up', 'p.S/Down']) {
    const spans = sdk.spans.filter((span) => span.name === name)
    const clientSpan = spans.find((span) => span.kind === SpanKind.CLIENT)
    const serverSpan = spans.find((span) => span.kind === SpanKind.SERVER)
    t.equal(spans.length, 2, name)
    t.equal(serverSpan?.parentSpanContext?.spanId, clientSpan?.spanContext().spanId, name)
    t.match(serverSpan?.attributes, { 'rpc.method': name, 'rpc.status_code': 'OK' })
  }
  t.strictSame(during, [sdk.serverSpans[0]?.spanContext().spanId], 'the handler runs inside it, message by message')
})

t.test('a stream that fails, one that its caller leaves, one that is refused', async (t) => {
  const { sdk, server, client } = observed(t)
  server.register('p', 'S', 'Fail', new RecvHandler(async () => { throw new RpcError(Category.DataLoss, 'gone') }))
  server.register('p', 'S', 'Long', new RecvHandler(async (context, stream) => {
    await stream.send(bytes('one'))
    await new Promise((resolve) => { context.signal.addEventListener('abort', resolve) })
  }))
  t.equal((await failureOf(texts(client.recv('p', 'S', 'Fail')))).category, Category.DataLoss)
  await until(() => sdk.spans.length === 2)
  for (const span of sdk.spans) t.match(span, { status: { code: SpanStatusCode.ERROR, message: 'gone' }, attributes: { 'error.type': 'DataLoss' } })

  sdk.reset()
  const long = client.recv('p', 'S', 'Long').recv()
  t.equal(text((await long.next()).value as Uint8Array), 'one')
  await long.return?.()
  await until(() => sdk.spans.length === 2)
  t.match(sdk.single('server'), { status: { code: SpanStatusCode.UNSET }, attributes: { 'rpc.status_code': 'Canceled' } })
  t.match(sdk.single('client'), { attributes: { 'rpc.status_code': 'Canceled' } })

  sdk.reset()
  t.equal((await failureOf(texts(client.recv('p', 'S', 'Nowhere')))).category, Category.Unimplemented)
  await until(() => sdk.spans.length === 1)
  t.match(sdk.single('client'), { attributes: { 'rpc.status_code': 'Unimplemented' } }, 'an Open that is refused reaches no interceptor of the server')
})

t.test('measurements: both histograms, in seconds, with the buckets of the conventions', async (t) => {
  const { sdk, server, client } = observed(t, {}, { serverAddress: 'rpc.example.org' })
  server.register('p', 'S', 'Maybe', new SyncHandler(async (_context, request) => {
    if (request.byteLength === 0) throw new RpcError(Category.Unavailable, 'no')
    return request
  }))
  const maybe = client.sync('p', 'S', 'Maybe')
  await maybe.call(bytes('x'))
  await maybe.call(bytes('y'))
  await t.rejects(maybe.call(bytes('')))
  for (const [name, extra] of [[DurationMetric.server, {}], [DurationMetric.client, { 'server.address': 'rpc.example.org' }]] as const) {
    const { descriptor, dataPoints } = await sdk.histogram(name)
    t.equal(descriptor.unit, 's')
    const common = { 'rpc.system.name': 'claw', 'rpc.method': 'p.S/Maybe', ...extra }
    t.strictSame(dataPoints.map(({ attributes, value }) => [attributes, value.count]), [
      [{ ...common, 'rpc.status_code': 'OK' }, 2],
      [{ ...common, 'rpc.status_code': 'Unavailable', 'error.type': 'Unavailable' }, 1]
    ])
    for (const { value } of dataPoints) {
      t.strictSame(value.buckets.boundaries, DURATION_BUCKETS)
      t.ok(value.sum !== undefined && value.sum > 0 && value.sum < 5, 'seconds')
    }
  }
})

t.test('where no SDK is set up calls go on, and nothing is sent along', async (t) => {
  const { server, client } = makeEngine(t, { server: serverWith({}), client: clientWith({}) })
  server.register('p', 'S', 'Keys', new SyncHandler(async (_context, _request, metadata) => bytes(String(metadata.size))))
  t.equal(text(await client.sync('p', 'S', 'Keys').call(bytes(''))), '0')
})

t.test('through the plugin and a real socket: one trace across both sides, and across a server that calls another', async (t) => {
  const sdk = new TelemetrySdk()
  const back = makeApp(t).app
  await back.register(rpcPlugin, serverWith(sdk))
  back.rpc.register('shop', 'Store', 'Find', new SyncHandler(async (_context, request) => request))
  await listen(back)
  const store = await connectTo(t, back, clientWith(sdk))

  const front = makeApp(t).app
  await front.register(rpcPlugin, serverWith(sdk))
  front.rpc
    // Async up to the call, so that the span of this call must have been kept.
    .register('shop', 'Cart', 'Add', new SyncHandler(async (_context, request) => {
      await new Promise((resolve) => { setImmediate(resolve) })
      return await store.sync('shop', 'Store', 'Find').call(request)
    }))
    .register('shop', 'Cart', 'Watch', new RecvHandler(async (_context, stream) => { await stream.send(await store.sync('shop', 'Store', 'Find').call(await stream.request())) }))
  await listen(front)
  const client = await connectTo(t, front, clientWith(sdk))

  const calls: Record<string, () => Promise<string[]>> = {
    'shop.Cart/Add': async () => [text(await client.sync('shop', 'Cart', 'Add').call(bytes('tea')))],
    'shop.Cart/Watch': async () => await texts(client.recv('shop', 'Cart', 'Watch', { request: bytes('tea') }))
  }
  for (const [name, call] of Object.entries(calls)) {
    sdk.reset()
    const program = sdk.tracer.startSpan('program')
    t.strictSame(await context.with(trace.setSpan(context.active(), program), call), ['tea'], name)
    await until(() => sdk.spans.length === 4)
    // The way down: each span is the child of the one before it.
    const way: [kind: SpanKind, name: string][] = [
      [SpanKind.CLIENT, name], [SpanKind.SERVER, name], [SpanKind.CLIENT, 'shop.Store/Find'], [SpanKind.SERVER, 'shop.Store/Find']
    ]
    let parent = program.spanContext()
    for (const [kind, name] of way) {
      const span = sdk.spans.find((span) => span.kind === kind && span.name === name)
      t.match(span?.parentSpanContext, { traceId: parent.traceId, spanId: parent.spanId, isRemote: kind === SpanKind.SERVER ? true : undefined }, `${SpanKind[kind]} ${name}`)
      if (span !== undefined) parent = span.spanContext()
    }
    t.equal(new Set(sdk.spans.map((span) => span.spanContext().traceId)).size, 1, 'one trace')
    t.match(sdk.serverSpans.map(({ attributes }) => attributes['client.address']), ['127.0.0.1', '127.0.0.1'])
  }
})
