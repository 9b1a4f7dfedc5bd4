// What a client's interceptors of streams make of the messages themselves: all that the caller says and reads passes
// their wrappers, also what it said before the stream was opened.
import t from 'tap'
import type { ClientStreamIO, ClientStreamWrapper, StreamClientInterceptor } from '../../types/client-options.js'
import type { StreamServerInterceptor } from '../../types/interceptor.js'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { Metadata } from '../../lib/metadata.js'
import { BiDirHandler, RecvHandler, SendHandler } from '../../lib/server/handlers.js'
import { bytes, failureOf, makeEngine, text, texts } from '../helpers/engine.js'
import type { Engine, EngineOptions } from '../helpers/engine.js'
import { Gate } from '../helpers/plugin-app.js'

function engineWith (t: Parameters<typeof makeEngine>[0], streamInterceptors: StreamClientInterceptor[], more: EngineOptions = {}): Engine {
  const engine = makeEngine(t, { ...more, client: { ...more.client, streamInterceptors } })
  const { server } = engine
  server.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => {
    for await (const { payload, metadata } of stream.messages()) await stream.send(payload, { metadata })
  }))
  server.register('p', 'S', 'Up', new SendHandler(async (_context, stream) => bytes((await texts(stream.recv())).join(' '))))
  server.register('p', 'S', 'Down', new RecvHandler(async (context, stream) => {
    await stream.send(await stream.request())
    await stream.send(bytes(context.metadata.get('by') ?? 'end'))
  }))
  server.register('p', 'S', 'Watch', new RecvHandler(async (context, stream) => {
    await stream.send(await stream.request())
    await new Promise((resolve) => { context.signal.addEventListener('abort', resolve) })
  }))
  return engine
}

/** Marks what goes out and what comes in. */
const marks = (out: string, back = out): ClientStreamWrapper => (io) => ({
  send: (message, options) => io.send(bytes(`${out}(${text(message)})`), options),
  async * recv () { for await (const message of io.recv()) yield bytes(`${back}(${text(message)})`) },
  async * messages () { for await (const { payload, metadata } of io.messages()) yield { payload: bytes(`${back}(${text(payload)})`), metadata } }
})

const wrapping = (...wrappers: ClientStreamWrapper[]): StreamClientInterceptor => (call, next) => next(wrappers.reduce((wrapped, wrapper) => wrapped.wrap(wrapper), call))
const sending = (send: (io: ClientStreamIO, ...message: Parameters<ClientStreamIO['send']>) => Promise<void>): StreamClientInterceptor =>
  wrapping((io) => ({ send: (...message) => send(io, ...message) }))

/** Each message waits for fewer turns of the queue of microtasks than the one before. */
const overtaking = (turns = 9): StreamClientInterceptor => sending(async (io, message, options) => {
  const wait = turns--
  for (let i = 0; i < wait; i++) await Promise.resolve()
  await io.send(bytes(`late(${text(message)})`), options)
})

/** Says it all in one step and reads the echoes. */
async function chat (client: Engine['client'], ...messages: string[]): Promise<string[]> {
  const stream = client.biDir('p', 'S', 'Chat')
  const sends = messages.map((message) => stream.send(bytes(message)))
  stream.closeSend()
  const received = await texts(stream.recv())
  await Promise.all(sends)
  return received
}

async function up (client: Engine['client'], ...messages: string[]): Promise<string> {
  const stream = client.send('p', 'S', 'Up')
  const sends = messages.map((message) => stream.send(bytes(message)))
  const answer = await stream.close()
  await Promise.all(sends)
  return text(answer)
}

const down = (client: Engine['client'], request: string): Promise<string[]> => texts(client.recv('p', 'S', 'Down', { request: bytes(request) }))

t.test('what is sent and received, for all three kinds', async (t) => {
  const { client } = engineWith(t, [wrapping(marks('out', 'in'))])
  t.strictSame(await chat(client, 'a', 'b'), ['in(out(a))', 'in(out(b))'])
  t.equal(await up(client, 'a', 'b'), 'in(out(a) out(b))', 'also the one answer')
  t.strictSame(await down(client, 'r'), ['in(out(r))', 'in(end)'], 'also the request')
  t.strictSame(await texts(client.recv('p', 'S', 'Down')), ['in()', 'in(end)'], 'where there is none nothing passes')
})

t.test('the first of the list is next to the caller, on both ways', async (t) => {
  const { client } = engineWith(t, [wrapping(marks('a')), async (call, next) => { await next(call) }, wrapping(marks('b'), marks('c'))])
  t.strictSame(await chat(client, 'x'), ['a(b(c(c(b(a(x))))))'])
  t.equal(await up(client, 'x'), 'a(b(c(c(b(a(x))))))')
  t.strictSame(await down(client, 'x'), ['a(b(c(c(b(a(x))))))', 'a(b(c(end)))'])
})

t.test('a copy of a call keeps what was wrapped, and wraps with the options it has', async (t) => {
  const { client } = engineWith(t, [
    (call, next) => {
      const copy = { ...call.wrap(marks('a')), options: { metadata: { by: 'copy' } } }
      t.equal(call.wrappers.length, 0, 'the call itself stays as it was')
      return next({ ...copy.wrap(marks('b')) })
    },
    (call, next) => {
      t.equal(call.wrappers.length, 2)
      return next({ ...call, options: { ...call.options } })
    }
  ])
  t.strictSame(await down(client, 'x'), ['a(b(b(a(x))))', 'a(b(copy))'])
})

t.test('what is not replaced stays: metadata of messages, the other functions', async (t) => {
  let sent = 0
  const { client } = engineWith(t, [sending((io, message, options) => {
    sent++
    return io.send(message, { metadata: new Metadata(options?.metadata).set('m', String(sent)) })
  })])
  const stream = client.biDir('p', 'S', 'Chat')
  await stream.send(bytes('x'), { metadata: { n: '7' } })
  stream.closeSend()
  for await (const { payload, metadata } of stream.messages()) t.strictSame([text(payload), metadata.toObject()], ['x', { n: '7', m: '1' }])
  t.equal(sent, 1)
})

t.test('a wrapper may be an object of a class', async (t) => {
  class Counting implements Partial<ClientStreamIO> {
    #sent = 0
    readonly #io: ClientStreamIO
    constructor (io: ClientStreamIO) { this.#io = io }
    async send (message: Uint8Array): Promise<void> { await this.#io.send(bytes(`${text(message)}${++this.#sent}`)) }
  }
  const { client } = engineWith(t, [wrapping((io) => new Counting(io))])
  t.strictSame(await chat(client, 'a', 'b'), ['a1', 'b2'])
})

t.test('messages in front of what was said, several for one, none for one', async (t) => {
  const { client } = engineWith(t, [wrapping((io) => {
    const hello = io.send(bytes('hello'))
    return {
      async send (message) {
        await hello
        if (text(message) === 'no') return
        for (const letter of text(message)) await io.send(bytes(letter))
      }
    }
  })])
  t.strictSame(await chat(client, 'ab', 'no', 'c'), ['hello', 'a', 'b', 'c'])
})

t.test('example: enciphered on the way, both ways, undone by the server\'s interceptor', async (t) => {
  const onTheWay: string[] = []
  /** Another key for each message: any that is missing or out of order makes nonsense of the rest. */
  const cipher = (key: number): (message: Uint8Array) => Uint8Array => (message) => {
    key = (key * 31 + 7) & 0xff
    return message.map((byte) => byte ^ key)
  }
  async function * through (messages: AsyncIterable<Uint8Array>, change: (message: Uint8Array) => Uint8Array): AsyncGenerator<Uint8Array> {
    for await (const message of messages) yield change(message)
  }
  // In a page a cipher is asynchronous.
  const enciphering = wrapping((io) => {
    const [encipher, decipher] = [cipher(1), cipher(2)]
    return {
      send: async (message, options) => { await io.send(await Promise.resolve(encipher(message)), options) },
      recv: () => through(io.recv(), decipher)
    }
  })
  const deciphering: StreamServerInterceptor = async (call, next) => {
    const { io } = call.stream
    const [decipher, encipher] = [cipher(1), cipher(2)]
    const record = (message: Uint8Array): Uint8Array => {
      onTheWay.push(text(message))
      return message
    }
    const stream = call.stream.wrap({
      send: (message, options) => io.send(record(encipher(message)), options),
      recv: () => through(io.recv(), (message) => decipher(record(message))),
      request: async () => decipher(record(await io.request()))
    })
    const answer = await next({ ...call, stream })
    return answer === undefined ? undefined : record(encipher(answer))
  }
  const { client, server } = engineWith(t, [enciphering], { server: { streamInterceptors: [deciphering] } })
  server.register('p', 'S', 'Echo', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }))
  const echo = client.biDir('p', 'S', 'Echo')
  const words = ['attack', 'at', 'dawn', 'dawn']
  const sends = words.map((word) => echo.send(bytes(word)))
  echo.closeSend()
  t.strictSame(await texts(echo.recv()), words)
  await Promise.all(sends)
  t.equal(await up(client, ...words), words.join(' '))
  t.strictSame(await down(client, 'attack'), ['attack', 'end'])
  t.equal(onTheWay.length, 8 + 5 + 3)
  t.notOk(onTheWay.some((message) => /attack|at|dawn|end/.test(message)))
})

t.test('said before the stream was opened: through the wrappers too, in order, the end behind it', async (t) => {
  const gate = new Gate()
  const waiting: StreamClientInterceptor = async (call, next) => {
    await gate.opened
    await next(call)
  }
  const { client, server } = engineWith(t, [wrapping(marks('early')), waiting, overtaking()])
  const said = [chat(client, 'a', 'b', 'c'), up(client, 'a', 'b', 'c'), down(client, 'r')]
  await client.sync('p', 'S', 'Nowhere').call(bytes('')).catch(() => {})
  t.equal(server.stats().callsStarted, 0)
  gate.open()
  const echoed = (message: string): string => `early(late(early(${message})))`
  t.strictSame(await Promise.all(said), [
    ['a', 'b', 'c'].map(echoed),
    'early(late(early(a)) late(early(b)) late(early(c)))',
    [echoed('r'), 'early(end)']
  ])
})

t.test('said afterwards: a slow wrapper is asked for one message at a time, the end comes after all', async (t) => {
  const { client } = engineWith(t, [overtaking(), overtaking()])
  const messages = ['a', 'b', 'c', 'd']
  t.strictSame(await chat(client, ...messages), messages.map((message) => `late(late(${message}))`))
  const stream = client.biDir('p', 'S', 'Chat')
  const received = stream.recv()
  for (const message of messages) {
    await stream.send(bytes(message))
    t.equal(text((await received.next()).value as Uint8Array), `late(late(${message}))`)
  }
  const last = stream.send(bytes('last'))
  stream.closeSend()
  t.match(await failureOf(stream.send(bytes('more'))), { code: ErrorCode.SEND_AFTER_END })
  await last
  t.strictSame(await texts(received), ['late(late(last))'])
})

t.test('reading that was begun before the stream was opened', async (t) => {
  const gate = new Gate()
  const { client } = engineWith(t, [wrapping(marks('out', 'in')), async (call, next) => {
    await gate.opened
    await next(call)
  }])
  const stream = client.biDir('p', 'S', 'Chat')
  for (const message of ['a', 'b', 'c', 'd']) stream.send(bytes(message)).catch(t.error)
  stream.closeSend()
  const received = stream.recv()
  const first = [received.next(), received.next()]
  const given = stream.recv()
  const up = given.next()
  await given.return?.()
  const others = stream.messages()
  const left = client.recv('p', 'S', 'Down')
  await left.recv().return?.()
  t.match(left.err, { category: Category.Canceled, message: 'canceled by the caller' })
  gate.open()
  const found = (await Promise.all(first)).map(({ value }) => text(value as Uint8Array))
  t.strictSame(found, ['in(out(a))', 'in(out(b))'])
  t.match(await Promise.all([up, given.next()]), [{ done: true }, { done: true }], 'a loop that was left takes nothing')
  t.equal(text(((await others.next()).value as { payload: Uint8Array }).payload), 'in(out(c))')
  t.strictSame(await received.return?.(), { value: undefined, done: true })
  t.strictSame(await received.next(), { value: undefined, done: true }, 'a loop that was left is over')
  t.strictSame(await texts(stream.recv()), ['in(out(d))'], 'the rest is there for the next')
})

t.test('who asks for several messages at a time gets them in that order', async (t) => {
  const { client } = engineWith(t, [wrapping(marks('out', 'in'))])
  const stream = client.biDir('p', 'S', 'Chat')
  for (const message of ['a', 'b', 'c']) await stream.send(bytes(message))
  const received = stream.recv()
  const order: string[] = []
  const take = async (): Promise<void> => { order.push(text((await received.next()).value as Uint8Array)) }
  // The last one asks while the second is still on its way to the wrapper.
  const first = take()
  const last = Promise.resolve().then(take)
  await Promise.all([first, take().then(() => { order.push('second') }), last])
  t.strictSame(order, ['in(out(a))', 'in(out(b))', 'second', 'in(out(c))'])
})

t.test('an error of a wrapper\'s send rejects that send, the stream goes on', async (t) => {
  const { client, server } = engineWith(t, [sending((io, message, options) => {
    if (text(message) === 'now') throw new TypeError('at once')
    if (text(message) === 'later') return Promise.reject(new RpcError(Category.InvalidArgument, 'not this'))
    return io.send(message, options)
  })])
  const stream = client.biDir('p', 'S', 'Chat')
  const sends = ['a', 'now', 'b', 'later', 'c'].map((message) => stream.send(bytes(message)).then(() => 'sent', (error: Error) => error.message))
  stream.closeSend()
  t.strictSame(await texts(stream.recv()), ['a', 'b', 'c'])
  t.strictSame(await Promise.all(sends), ['sent', 'at once', 'sent', 'not this', 'sent'])
  const { callsStarted } = server.stats()
  t.match(await failureOf(down(client, 'later')), { category: Category.InvalidArgument, message: 'not this' })
  t.match(await failureOf(down(client, 'now')), { category: Category.Internal, cause: { message: 'at once' } })
  t.equal(server.stats().callsStarted, callsStarted, 'a server stream whose request cannot be sent is none')
})

t.test('an error of a wrapper\'s recv is thrown to the reader', async (t) => {
  const failing: ClientStreamWrapper = (io) => ({
    async * recv () {
      for await (const message of io.recv()) {
        if (text(message).includes('bad')) throw new RpcError(Category.DataLoss, 'forged')
        yield message
      }
    },
    messages () { throw new RangeError('no messages') }
  })
  const { client } = engineWith(t, [wrapping(failing)])
  const stream = client.biDir('p', 'S', 'Chat')
  for (const message of ['a', 'bad', 'b']) await stream.send(bytes(message))
  stream.closeSend()
  const received = stream.recv()
  t.equal(text((await received.next()).value as Uint8Array), 'a')
  t.match(await failureOf(texts(received)), { category: Category.DataLoss, message: 'forged' })
  t.strictSame(await texts(stream.recv()), ['b'], 'what follows may be read')
  await t.rejects(stream.messages().next(), { message: 'no messages' })
  const upload = client.send('p', 'S', 'Up')
  await upload.send(bytes('bad'))
  t.match(await failureOf(upload.close()), { message: 'forged' })
  const watched = client.recv('p', 'S', 'Watch', { request: bytes('bad') })
  t.match(await failureOf(texts(watched)), { message: 'forged' })
  t.match(await watched.ended, { category: Category.Canceled }, 'nobody reads any more')
})

t.test('leaving the loop over a server stream ends the call, whatever the wrappers do', async (t) => {
  let left = 0
  const { client } = engineWith(t, [wrapping(marks('a'), (io) => ({
    recv () {
      const messages = io.recv()
      // Knows no `return`.
      return { next: () => messages.next(), [Symbol.asyncIterator] () { return this } }
    }
  }), (io) => ({
    async * messages () {
      try {
        yield * io.messages()
      } finally {
        left++
      }
    }
  }))])
  const unread = client.recv('p', 'S', 'Watch')
  await unread.recv().return?.()
  t.match(await unread.ended, { category: Category.Canceled })
  const stream = client.recv('p', 'S', 'Watch', { request: bytes('x') })
  const received = stream.recv()
  for await (const message of received) if (text(message) === 'a(a(x))') break
  t.match(stream.err, { category: Category.Canceled })
  t.match(await received.next(), { done: true })
  for await (const { payload } of client.recv('p', 'S', 'Watch', { request: bytes('x') }).messages()) if (text(payload) === 'a(a(x))') break
  t.equal(left, 1, 'those that can are told')
  t.equal(client.running, 0)
})

t.test('a wrapper that cannot be made: nothing is opened, the interceptors see why', async (t) => {
  const seen: unknown[] = []
  const { client, server } = engineWith(t, [
    async (call, next) => {
      try {
        await next(call)
      } catch (error) {
        seen.push(error)
        throw error
      }
    },
    wrapping(() => { throw new RpcError(Category.Unauthenticated, 'no key') })
  ])
  const stream = client.biDir('p', 'S', 'Chat')
  const sent = stream.send(bytes('x'))
  t.match(await failureOf(texts(stream.recv())), { category: Category.Unauthenticated, message: 'no key' })
  t.match(await failureOf(sent), { message: 'no key' })
  t.match(seen, [{ message: 'no key' }])
  t.equal(server.stats().callsStarted, 0)
  t.equal(client.running, 0)
})

t.test('a call made anew has lost what was wrapped: rather no stream than one that is not wrapped', async (t) => {
  const { client, server } = engineWith(t, [wrapping(marks('a')), ({ package: pkg, service, call, type, options }, next) =>
    next({ package: pkg, service, call, type, options } as Parameters<typeof next>[0])])
  t.match(await failureOf(chat(client, 'x')), { category: Category.Internal, cause: { name: 'TypeError' } })
  t.equal(server.stats().callsStarted, 0)
})
