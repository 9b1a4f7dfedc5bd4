// What interceptors of streams see and may do on the server, for each of the three kinds.
import t from 'tap'
import type { StreamServerCall, StreamServerInterceptor } from '../../types/interceptor.js'
import type { StreamIO } from '../../types/stream.js'
import { Category, RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler } from '../../lib/server/handlers.js'
import type { InterceptorSource } from '../../lib/server/registry.js'
import { BiDirStream, RecvStream, SendStream } from '../../lib/server/streams.js'
import { RpcType } from '../../lib/wire/message.js'
import { bytes, failureOf, makeEngine, text, texts } from '../helpers/engine.js'
import type { Engine } from '../helpers/engine.js'

function engineWith (t: Parameters<typeof makeEngine>[0], ...streamInterceptors: StreamServerInterceptor[]): Engine {
  const engine = makeEngine(t, { server: { streamInterceptors } })
  const { server } = engine
  server.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))
  server.register('p', 'S', 'Up', new SendHandler(async (_context, stream) => bytes((await texts(stream.recv())).join(' '))))
  server.register('p', 'S', 'Down', new RecvHandler(async (_context, stream) => {
    await stream.send(await stream.request())
    await stream.send(bytes('end'))
  }))
  return engine
}

/** Stands between: marks what comes in and what goes out. */
function marked (io: StreamIO): Partial<StreamIO> {
  return {
    send: (message, options) => io.send(bytes(`out(${text(message)})`), options),
    async * recv () { for await (const message of io.recv()) yield bytes(`in(${text(message)})`) },
    async * messages () { for await (const { payload, metadata } of io.messages()) yield { payload: bytes(`in(${text(payload)})`), metadata } },
    request: async () => bytes(`in(${text(await io.request())})`)
  }
}

const marking: StreamServerInterceptor = (call, next) => next({ ...call, stream: call.stream.wrap(marked(call.stream.io)) })

async function chat (client: Engine['client'], ...messages: string[]): Promise<string[]> {
  const stream = client.biDir('p', 'S', 'Chat')
  for (const message of messages) await stream.send(bytes(message))
  stream.closeSend()
  return await texts(stream.recv())
}

async function up (client: Engine['client'], ...messages: string[]): Promise<string> {
  const stream = client.send('p', 'S', 'Up')
  for (const message of messages) await stream.send(bytes(message))
  return text(await stream.close())
}

const down = (client: Engine['client'], request: string): Promise<string[]> => texts(client.recv('p', 'S', 'Down', { request: bytes(request) }))

t.test('the first is the outermost, a registration\'s stand inside the server\'s', async (t) => {
  const seen: string[] = []
  const tag = (name: string): StreamServerInterceptor => async (call, next) => {
    seen.push(`${name} in`)
    const answer = await next(call)
    seen.push(`${name} out`)
    return answer
  }
  const { client, server } = engineWith(t, tag('a'), tag('b'))
  const source: InterceptorSource = { unary: () => [], stream: () => [tag('own')] }
  server.register('p', 'S', 'Own', new SendHandler(async () => bytes('done')), source)
  t.strictSame(await chat(client, 'x'), ['x'])
  t.strictSame(seen.splice(0), ['a in', 'b in', 'b out', 'a out'])
  t.equal(text(await client.send('p', 'S', 'Own').close()), 'done')
  t.strictSame(seen, ['a in', 'b in', 'own in', 'own out', 'b out', 'a out'])
})

t.test('they see the names, the kind, the session, the metadata and the stream of that kind', async (t) => {
  const seen: StreamServerCall[] = []
  const { client } = engineWith(t, (call, next) => {
    seen.push(call)
    return next(call)
  })
  await chat(client, 'x')
  await up(client, 'x')
  for await (const message of client.recv('p', 'S', 'Down', { metadata: { Tenant: 'acme' } })) t.ok(message)
  const kinds = [[RpcType.BiDirectional, 'Chat', BiDirStream], [RpcType.Send, 'Up', RecvStream], [RpcType.Recv, 'Down', SendStream]] as const
  for (const [at, [type, call, Stream]] of kinds.entries()) {
    t.match(seen[at], { context: { package: 'p', service: 'S', call, type, session: at + 1, reqID: 0, remoteAddress: '192.0.2.1' } })
    t.type(seen[at]?.stream, Stream)
    t.equal(seen[at]?.stream.context, seen[at]?.context)
  }
  t.equal(seen[2]?.context.metadata.get('tenant'), 'acme')
})

t.test('wrapping: what the handler receives and sends, for all three kinds', async (t) => {
  const { client } = engineWith(t, marking)
  t.strictSame(await chat(client, 'a', 'b'), ['out(in(a))', 'out(in(b))'])
  t.equal(await up(client, 'a', 'b'), 'in(a) in(b)')
  t.strictSame(await down(client, 'r'), ['out(in(r))', 'out(end)'])
})

t.test('several wrap one another, the innermost next to the handler', async (t) => {
  const { client } = engineWith(t, marking, marking)
  t.strictSame(await chat(client, 'a'), ['out(out(in(in(a))))'])
  t.equal(await up(client, 'a'), 'in(in(a))')
})

t.test('what is not replaced stays: metadata of messages, trailers, the error', async (t) => {
  let sent = 0
  const { client, server } = engineWith(t, (call, next) => {
    const { io } = call.stream
    const send: StreamIO['send'] = (message, options) => {
      sent++
      return io.send(message, options)
    }
    return next({ ...call, stream: call.stream.wrap({ send }) })
  })
  server.register('p', 'S', 'Meta', new BiDirHandler(async (_context, stream) => {
    for await (const { payload, metadata } of stream.messages()) await stream.send(payload, { metadata: { echo: metadata.get('n') ?? '' } })
    t.equal(stream.err, undefined)
    stream.setTrailer({ sent: String(sent) })
    t.equal(stream.trailer.get('sent'), '1')
  }))
  const stream = client.biDir('p', 'S', 'Meta')
  await stream.send(bytes('x'), { metadata: { n: '7' } })
  stream.closeSend()
  for await (const { metadata } of stream.messages()) t.equal(metadata.get('echo'), '7')
  t.equal(stream.trailer.get('sent'), '1')
})

t.test('a SendHandler\'s answer passes through them and may be changed', async (t) => {
  const { client } = engineWith(t, async (call, next) => {
    const answer = await next(call)
    return answer === undefined ? answer : bytes(`<${text(answer)}>`)
  })
  t.equal(await up(client, 'a', 'b'), '<a b>')
  t.strictSame(await chat(client, 'a'), ['a'], 'the other kinds have none')
})

t.test('they set trailers before and after the handler', async (t) => {
  const { client } = engineWith(t, async (call, next) => {
    call.context.setTrailer({ before: 'yes' })
    const answer = await next(call)
    call.context.setTrailer({ after: 'yes' })
    return answer
  })
  const stream = client.recv('p', 'S', 'Down')
  await texts(stream)
  t.strictSame(stream.trailer.toObject(), { before: 'yes', after: 'yes' })
})

t.test('an RpcError refuses before the handler starts, or replaces its good end', async (t) => {
  const { client } = engineWith(t, async (call, next) => {
    const when = call.context.metadata.get('when')
    if (when === 'before') throw new RpcError(Category.PermissionDenied, 'not you', { metadata: { why: 'policy' } })
    await next(call)
    throw new RpcError(Category.DataLoss, 'afterwards')
  })
  for (const open of [
    (metadata: Record<string, string>) => client.biDir('p', 'S', 'Chat', { metadata }),
    (metadata: Record<string, string>) => client.recv('p', 'S', 'Down', { metadata })
  ]) {
    const before = open({ when: 'before' })
    t.match(await failureOf(texts(before.recv())), { category: Category.PermissionDenied, message: 'not you' })
    t.equal(before.trailer.get('why'), 'policy')
    const after = open({ when: 'after' })
    if ('closeSend' in after) after.closeSend()
    t.match(await failureOf(texts(after.recv())), { category: Category.DataLoss, message: 'afterwards' })
  }
  t.match(await failureOf(client.send('p', 'S', 'Up', { metadata: { when: 'before' } }).close()), { category: Category.PermissionDenied })
})

t.test('a foreign error is Internal without its text, which is in the log', async (t) => {
  const { client, log } = engineWith(t, async () => { throw new RangeError('secret path') })
  t.match(await failureOf(chat(client)), { category: Category.Internal, message: 'internal error' })
  t.match(log.find(({ level }) => level === 'error'), { err: { message: 'secret path' }, call: 'Chat' })
})

t.test('one that never calls next serves the stream itself', async (t) => {
  const { client } = engineWith(t, async (call) => {
    if (call.context.type === RpcType.Recv) await call.stream.io.send(bytes('instead'))
    return call.context.type === RpcType.Send ? bytes('instead') : undefined
  })
  t.strictSame(await down(client, 'x'), ['instead'])
  t.equal(await up(client, 'x'), 'instead')
  t.strictSame(await chat(client), [])
})

t.test('they see the error that ended a stream', async (t) => {
  const ends: unknown[] = []
  const { client, server } = engineWith(t, async (call, next) => {
    try {
      return await next(call)
    } catch (error) {
      ends.push(error)
      throw error
    }
  })
  server.register('p', 'S', 'Fail', new BiDirHandler(async () => { throw new RpcError(Category.OutOfRange, 'too far') }))
  await failureOf(texts(client.biDir('p', 'S', 'Fail').recv()))
  t.match(ends, [{ category: Category.OutOfRange }])
})
