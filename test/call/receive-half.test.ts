import t from 'tap'
import { systemClock } from '../../lib/clock.js'
import { ReceiveHalf } from '../../lib/call/receive-half.js'
import { CompressorRegistry } from '../../lib/compression/registry.js'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import type { Compressor } from '../../types/compressor.js'
import { deferred, msg, settle, str, text, watch } from '../helpers/scripted-peer.js'

/** Gives the content back, when it is told to; `bad` is corrupt. */
class SlowFormat implements Compressor {
  readonly id = 9
  readonly name = 'slow'
  readonly pending: (() => void)[] = []
  compress (bytes: Uint8Array): Uint8Array { return bytes }
  async decompress (bytes: Uint8Array): Promise<Uint8Array> {
    const { promise, resolve } = deferred()
    this.pending.push(resolve)
    await promise
    if (str(bytes) === 'bad') throw new RpcError(Category.InvalidArgument, 'corrupt', { code: ErrorCode.CORRUPT_PAYLOAD })
    return bytes
  }
}

function setUp (): { half: ReceiveHalf, taken: number[], corrupt: RpcError[], slow: SlowFormat, push: (value: string, cost?: number, compression?: number) => void } {
  const taken: number[] = []
  const corrupt: RpcError[] = []
  const slow = new SlowFormat()
  const half = new ReceiveHalf((cost) => { taken.push(cost) }, { compressors: new CompressorRegistry([slow]), maxRecvMsgSize: 1000 }, (error) => { corrupt.push(error) }, systemClock)
  const push = (value: string, cost = 1, compression = 0): void => { half.push(msg.payload({ payload: text(value), compression }), cost) }
  return { half, taken, corrupt, slow, push }
}

async function collect (messages: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found: string[] = []
  for await (const bytes of messages) found.push(str(bytes))
  return found
}

t.test('messages come in order, each credited when it is taken', async t => {
  const { half, taken, push } = setUp()
  push('a', 5)
  push('b', 6)
  t.same(taken, [], 'nobody took them')
  const messages = half.recv()
  t.equal(str((await messages.next()).value as Uint8Array), 'a')
  t.same(taken, [5])
  t.equal(str((await messages.next()).value as Uint8Array), 'b')
  const third = watch(messages.next())
  push('c', 7)
  await settle(1)
  t.equal(str(third.value?.value as Uint8Array), 'c', 'who waits gets it at once')
  t.same(taken, [5, 6, 7])
  half.end()
  t.same(await messages.next(), { value: undefined, done: true })
})

t.test('what is buffered comes before the reason', async t => {
  const { half, push } = setUp()
  const reason = new RpcError(Category.Canceled, 'canceled')
  push('a')
  push('b')
  half.end(reason)
  half.end(new RpcError(Category.Internal, 'again'))
  const found: string[] = []
  await t.rejects((async () => { for await (const bytes of half.recv()) found.push(str(bytes)) })(), reason)
  t.same(found, ['a', 'b'])
  t.equal(half.error, reason)
  t.ok(half.isEnded)
  await t.rejects(half.recv().next(), reason, 'and again for whoever asks')
})

t.test('who waits when it ends is told', async t => {
  const good = setUp().half
  const bad = setUp().half
  const [one, two] = [watch(good.recv().next()), watch(bad.recv().next())]
  good.end()
  bad.end(new RpcError(Category.Canceled, 'canceled'))
  await settle(1)
  t.same(one.value, { value: undefined, done: true })
  t.equal(two.error?.message, 'canceled')
})

t.test('several that wait are served in the order of asking', async t => {
  const { half, push } = setUp()
  const messages = half.recv()
  const asked = [watch(messages.next()), watch(messages.next()), watch(half.recv().next()), watch(half.messages().next())]
  push('a')
  await settle(1)
  t.same(asked.map((outcome) => outcome.isSettled), [true, false, false, false])
  push('b')
  push('c')
  push('d')
  await settle(1)
  t.same(asked.slice(0, 3).map((outcome) => str(outcome.value?.value as Uint8Array)), ['a', 'b', 'c'])
  t.equal(str((asked[3]?.value?.value as { payload: Uint8Array }).payload), 'd')
})

t.test('an end tells all that wait', async t => {
  const { half } = setUp()
  const messages = half.recv()
  const asked = [watch(messages.next()), watch(messages.next()), watch(messages.next())]
  half.end()
  await settle(1)
  t.ok(asked.every((outcome) => outcome.value?.done === true))
})

t.test('leaving a loop early leaves the rest to the next', async t => {
  const { half, push } = setUp()
  let returned = 0
  for (const value of ['a', 'b', 'c']) push(value)
  const found: string[] = []
  for await (const bytes of half.recv(() => { returned++ })) {
    found.push(str(bytes))
    if (found.length === 1) break
  }
  t.same(found, ['a'])
  t.equal(returned, 1)
  half.end()
  t.same(await collect(half.recv()), ['b', 'c'])
})

t.test('an iterator that was returned is done, others are not', async t => {
  const { half, push } = setUp()
  const one = half.recv()
  await one.return?.()
  push('a')
  t.same(await one.next(), { value: undefined, done: true })
  t.equal(str((await half.recv().next()).value as Uint8Array), 'a')
  t.equal(one[Symbol.asyncIterator](), one)
})

t.test('metadata of each message', async t => {
  const { half } = setUp()
  half.push(msg.payload({ payload: text('a'), metadata: [{ key: 'K', value: text('v') }] }), 1)
  const { value } = await half.messages().next() as { value: { payload: Uint8Array, metadata: { get (key: string): string | undefined } } }
  t.equal(value.metadata.get('k'), 'v')
})

t.test('discard gives everything back', async t => {
  const { half, taken, push } = setUp()
  push('a', 5)
  push('b', 6)
  half.discard()
  t.same(taken, [5, 6])
  push('c', 7)
  t.same(taken, [5, 6, 7], 'also what comes later')
  t.same(await half.recv().next(), { value: undefined, done: true })
})

t.test('decompression', async t => {
  await t.test('happens when a message is read, and keeps the order', async t => {
    const { half, slow, push } = setUp()
    push('a', 1, 9)
    push('b')
    t.equal(slow.pending.length, 0)
    const messages = half.recv()
    const [one, two] = [watch(messages.next()), watch(messages.next())]
    await settle(1)
    t.equal(slow.pending.length, 1)
    t.notOk(two.isSettled, 'the second waits for the first')
    push('c', 1, 9)
    const three = watch(messages.next())
    slow.pending[0]?.()
    await settle(1)
    t.equal(str(one.value?.value as Uint8Array), 'a')
    t.equal(str(two.value?.value as Uint8Array), 'b')
    slow.pending[1]?.()
    await settle(1)
    t.equal(str(three.value?.value as Uint8Array), 'c')
  })

  await t.test('of a message somebody waits for', async t => {
    const { half, slow, push } = setUp()
    const messages = half.recv()
    const [one, two] = [watch(messages.next()), watch(messages.next())]
    push('a', 1, 9)
    push('b')
    await settle(1)
    t.notOk(one.isSettled || two.isSettled)
    slow.pending[0]?.()
    await settle(1)
    t.same([one, two].map((outcome) => str(outcome.value?.value as Uint8Array)), ['a', 'b'])
  })

  await t.test('of what is corrupt ends the stream and gives the rest back', async t => {
    const { half, slow, taken, corrupt, push } = setUp()
    push('bad', 5, 9)
    push('b', 6)
    const messages = half.recv()
    const [one, two] = [watch(messages.next()), watch(messages.next())]
    await settle(1)
    slow.pending[0]?.()
    await settle(1)
    t.equal(one.error?.code, ErrorCode.CORRUPT_PAYLOAD)
    t.equal(two.error?.code, ErrorCode.CORRUPT_PAYLOAD)
    t.equal(corrupt.length, 1)
    t.same(taken, [5, 6])
  })

  await t.test('by a format nobody knows', async t => {
    const { half, corrupt, push } = setUp()
    push('x', 1, 200)
    const outcome = watch(half.recv().next())
    await settle(1)
    t.equal(outcome.error?.category, Category.Unimplemented)
    t.equal(corrupt[0]?.code, ErrorCode.UNKNOWN_COMPRESSION)
  })

  await t.test('never of an empty message, whatever stands beside it', async t => {
    const { half, push } = setUp()
    push('', 1, 200)
    t.equal(((await half.recv().next()).value as Uint8Array).byteLength, 0)
  })
})

t.test('what waits does not keep the whole chunk alive', async t => {
  const { half } = setUp()
  const chunk = new Uint8Array(64 * 1024).fill(7)
  half.push(msg.payload({ payload: chunk.subarray(100, 110), metadata: [{ key: 'k', value: chunk.subarray(0, 5) }] }), 1)
  half.push(msg.payload({ payload: chunk.subarray(0, 60_000) }), 1)
  await settle()
  const messages = half.messages()
  const { value: small } = await messages.next() as { value: { payload: Uint8Array, metadata: { getBytes (key: string): Uint8Array | undefined } } }
  t.same(small.payload, new Uint8Array(10).fill(7))
  t.ok(small.payload.buffer.byteLength < 100)
  t.ok((small.metadata.getBytes('k')?.buffer.byteLength ?? Infinity) < 100)
  const { value: large } = await messages.next() as { value: { payload: Uint8Array } }
  t.equal(large.payload.buffer, chunk.buffer, 'a view where nearly all of it is the message')
})

t.test('what is taken in the turn in which it came is not copied; what comes later waits in memory of its own', async t => {
  const { half } = setUp()
  const chunk = new Uint8Array(1000).fill(7)
  const push = (): void => { half.push(msg.payload({ payload: chunk.subarray(0, 10) }), 1) }
  const take = async (): Promise<ArrayBufferLike> => ((await half.recv().next()).value as Uint8Array).buffer
  push()
  push()
  t.equal(await take(), chunk.buffer)
  await settle()
  t.not(await take(), chunk.buffer)
  push()
  t.equal(await take(), chunk.buffer, 'the next turn begins anew')
  push()
  await settle()
  t.not(await take(), chunk.buffer)
})
