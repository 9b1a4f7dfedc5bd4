// The sending half alone: an owner that notes what is written, turns that the test gives.
import t from 'tap'
import { CompressorRegistry } from '../../lib/compression/registry.js'
import { SendCredit, frameCost } from '../../lib/connection/flow-control.js'
import { MAX_MESSAGE_METADATA_BYTES, metadataBytes } from '../../lib/connection/limits.js'
import { MAX_CHUNK_BYTES, Outbox, errorText } from '../../lib/connection/outbox.js'
import type { OutboxOwner } from '../../lib/connection/outbox.js'
import type { ConnectionSettings } from '../../lib/connection/settings.js'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { Payload } from '../../lib/wire/message.js'
import type { Close } from '../../lib/wire/message.js'
import { messageFrameBytes, payloadFrameBytes } from '../../lib/wire/encode.js'
import type { Compressor } from '../../types/compressor.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { settle, text, watch } from '../helpers/scripted-peer.js'

const WINDOW = 128 * 1024

const SETTINGS: ConnectionSettings = {
  minor: 1,
  maxRecvMsgSize: 1 << 22,
  maxSendMsgSize: 1 << 22,
  maxMetadataBytes: 64 * 1024,
  windowBytes: WINDOW,
  maxWindowBytes: 0,
  sendBufferBytes: 1 << 20,
  recvBufferBytes: 1 << 20,
  reassemblyPlaces: 8,
  stallTimeoutMs: 60_000,
  messageTimeoutMs: 30_000,
  compression: 0,
  compressionMinBytes: 100,
  compressors: new CompressorRegistry()
}

class Owner implements OutboxOwner {
  readonly settings: ConnectionSettings
  readonly clock = new FakeClock()
  readonly isMinor1: boolean
  room = true
  written: Payload[] = []
  /** What each frame cost, for the frames of 1.1 at least. */
  costs: number[] = []
  waiting: Outbox[] = []

  constructor (settings: Partial<ConnectionSettings> = {}, isMinor1 = true) {
    this.settings = { ...SETTINGS, ...settings }
    this.isMinor1 = isMinor1
  }

  hasRoom (): boolean { return this.room }

  writePayload (sessionID: number, reqID: number, bytes: Uint8Array, start: number, end: number, endStream: boolean, compression: number, metadata: Payload['metadata'], more: boolean): void {
    this.costs.push(frameCost(payloadFrameBytes(sessionID, reqID, end - start, endStream, compression, metadata, more)))
    this.written.push(Object.assign(new Payload(), { sessionID, reqID, payload: bytes.slice(start, end), endStream, compression, metadata, more }))
  }

  writeMessage (message: Payload | Close): void {
    this.costs.push(frameCost(messageFrameBytes(message)))
    this.written.push(message as Payload)
  }

  schedule (outbox: Outbox): void { this.waiting.push(outbox) }

  /** Lets everybody who waits write until nobody can. */
  turns (): void {
    for (let outbox = this.waiting.shift(); outbox !== undefined; outbox = this.waiting.shift()) if (outbox.writeTurn()) this.waiting.push(outbox)
  }
}

function setUp (settings: Partial<ConnectionSettings> = {}, { isMinor1 = true, window = WINDOW, peerMaxBytes = 0 } = {}): { owner: Owner, outbox: Outbox } {
  const owner = new Owner(settings, isMinor1)
  return { owner, outbox: new Outbox(owner, 1, new SendCredit(isMinor1 ? window : Infinity), peerMaxBytes) }
}

const contentOf = (owner: Owner): Buffer => Buffer.concat(owner.written.map((payload) => payload.payload))

t.test('a message that fits is written at once', t => {
  const { owner, outbox } = setUp()
  t.equal(outbox.send(text('hello'), { reqID: 3 }), undefined)
  t.equal(outbox.credit.available, WINDOW - (owner.costs[0] ?? 0), 'and costs what its frame costs')
  t.match(owner.written[0], { sessionID: 1, reqID: 3, more: false })
  t.equal(outbox.sentMessages, 1)
  t.equal(outbox.sentBytes, 5)
  t.end()
})

t.test('without room it waits for its turn', async t => {
  const { owner, outbox } = setUp()
  owner.room = false
  const sending = outbox.send(text('hello'))
  t.equal(owner.written.length, 0)
  t.notOk(outbox.isEmpty)
  owner.turns()
  await sending
  t.ok(outbox.isEmpty)
})

t.test('a large message goes in chunks of at most 64 KiB and half the window, each paid', async t => {
  for (const [window, most] of [[WINDOW, 64 * 1024 - 200], [1 << 20, MAX_CHUNK_BYTES]] as const) {
    const { owner, outbox } = setUp({}, { window })
    const bytes = new Uint8Array(300_000).map((_, at) => at)
    const sending = watch(outbox.send(bytes, { reqID: 9 }))
    owner.turns()
    while (outbox.credit.available < window) {
      // What was written is taken by the peer and credited.
      t.ok(outbox.grant(window - outbox.credit.available))
      owner.turns()
    }
    await settle()
    t.ok(sending.isSettled)
    t.same(contentOf(owner), Buffer.from(bytes))
    t.same(owner.written.map((chunk) => chunk.more), owner.written.map((_, at) => at < owner.written.length - 1), 'More on all but the last')
    t.ok(owner.costs.every((cost) => cost <= window / 2), `no frame costs more than half of ${window}`)
    t.ok(owner.written.slice(0, -1).every((chunk) => chunk.payload.byteLength >= most && chunk.payload.byteLength <= MAX_CHUNK_BYTES), 'and none is smaller than need be')
    t.ok(owner.written.every((chunk) => chunk.reqID === 9))
  }
})

t.test('writes only what the credit covers', async t => {
  const { owner, outbox } = setUp()
  const cost = frameCost(payloadFrameBytes(1, 0, 1000, false, 0, [], false))
  outbox.credit.available = 2 * cost + 1
  t.equal(outbox.send(new Uint8Array(1000)), undefined)
  t.equal(outbox.send(new Uint8Array(1000)), undefined)
  const third = watch(outbox.send(new Uint8Array(1000)))
  owner.turns()
  t.equal(outbox.blockedSince, 0)
  owner.clock.advance(500)
  t.ok(outbox.grant(cost - 2))
  owner.turns()
  t.equal(owner.written.length, 2, 'one byte short')
  t.equal(outbox.blockedSince, 0, 'and still blocked since the beginning')
  t.ok(outbox.grant(1))
  owner.turns()
  await settle()
  t.ok(third.isSettled)
  t.equal(outbox.credit.available, 0)
  t.equal(outbox.blockedSince, undefined)
})

t.test('free are an empty end and a failure, out of turn they are not', async t => {
  const { owner, outbox } = setUp()
  outbox.credit.available = 0
  t.equal(outbox.send(new Uint8Array(0), { endStream: true, force: true }), undefined)
  t.equal(owner.written.length, 1)
  const waiting = watch(outbox.send(text('x')))
  const failing = watch(outbox.sendFailure(5, new RpcError(Category.NotFound, 'no')))
  owner.turns()
  t.equal(owner.written.length, 1, 'the failure stays behind the message')
  t.ok(outbox.grant(1000))
  owner.turns()
  await settle()
  t.ok(waiting.isSettled && failing.isSettled)
  t.match(owner.written[2], { reqID: 5, errCode: Category.NotFound, error: 'no' })
  t.equal(outbox.credit.available, 1000 - (owner.costs[1] ?? 0), 'and costs nothing')
})

t.test('metadata, compression and deadline stand on the first chunk, the end on the last', async t => {
  const { owner, outbox } = setUp()
  const metadata = [{ key: 'k', value: text('v') }]
  watch(outbox.send(new Uint8Array(70_000), { metadata, endStream: true }))
  owner.turns()
  t.equal(owner.written.length, 2)
  t.same(owner.written.map((chunk) => chunk.metadata.length), [1, 0])
  t.same(owner.written.map((chunk) => chunk.endStream), [false, true])

  const second = setUp()
  watch(second.outbox.send(new Uint8Array(70_000), { reqID: 1, metadata, deadlineAt: 1500 }))
  second.owner.clock.advance(500)
  second.owner.turns()
  t.same(second.owner.written.map((chunk) => chunk.deadlineMS), [1000n, 0n], 'computed when the first chunk is written')
  t.equal(second.outbox.credit.available, WINDOW - second.owner.costs.reduce((sum, cost) => sum + cost), 'and paid')
  t.ok(second.owner.costs.every((cost) => cost <= WINDOW / 2))
})

t.test('a deadline that passes in line fails the message and is never written', async t => {
  const { owner, outbox } = setUp()
  owner.room = false
  const sending = watch(outbox.send(text('x'), { reqID: 1, deadlineAt: 100 }))
  const after = watch(outbox.send(text('y'), { reqID: 2 }))
  owner.clock.advance(100)
  owner.turns()
  await settle()
  t.equal(sending.error?.category, Category.DeadlineExceeded)
  t.ok(after.isSettled && after.error === undefined)
  t.same(owner.written.map((payload) => payload.reqID), [2])
})

t.test('largest metadata leave at least 4 KiB for the content of a chunk', async t => {
  const { owner, outbox } = setUp()
  const metadata = [{ key: 'k', value: new Uint8Array(MAX_MESSAGE_METADATA_BYTES - 40) }]
  watch(outbox.send(new Uint8Array(200_000), { metadata }))
  owner.turns()
  t.ok((owner.written[0]?.payload.byteLength ?? 0) >= 4096)
  t.ok((owner.costs[0] ?? 0) <= WINDOW / 2)
})

t.test('what is refused', async t => {
  const refused = (outbox: Outbox, bytes: Uint8Array, options = {}): ReturnType<typeof watch<void>> => watch(outbox.send(bytes, options))
  const own = refused(setUp({ maxSendMsgSize: 10 }).outbox, new Uint8Array(11))
  const peer = refused(setUp({}, { peerMaxBytes: 10 }).outbox, new Uint8Array(11))
  const metadata = refused(setUp().outbox, text('x'), { metadata: [{ key: 'k', value: new Uint8Array(MAX_MESSAGE_METADATA_BYTES) }] })
  // 24 bytes of headers for each, and key and value are padded to eight bytes.
  const crumbs = refused(setUp().outbox, text('x'), { metadata: Array.from({ length: 410 }, () => ({ key: 'k', value: text('v') })) })
  const odd = refused(setUp().outbox, 'text' as unknown as Uint8Array)
  const closed = setUp().outbox
  closed.close(new RpcError(Category.Canceled, 'over'))
  const late = refused(closed, text('x'))
  await settle()
  t.equal(own.error?.code, ErrorCode.MESSAGE_TOO_LARGE)
  t.equal(peer.error?.code, ErrorCode.MESSAGE_TOO_LARGE)
  t.match(peer.error?.message, /peer's maximum/)
  t.equal(metadata.error?.code, ErrorCode.METADATA_TOO_LARGE)
  t.equal(crumbs.error?.code, ErrorCode.METADATA_TOO_LARGE, 'counted as they are on the wire')
  t.equal(odd.error?.code, ErrorCode.ARGUMENT_INVALID, 'what is no bytes must not reach the credit')
  t.equal(late.error?.message, 'over')
})

t.test('a full queue refuses, but always takes one message', async t => {
  const { owner, outbox } = setUp({ sendBufferBytes: 1000 })
  owner.room = false
  const first = watch(outbox.send(new Uint8Array(5000)))
  const second = watch(outbox.send(text('x')))
  const forced = watch(outbox.send(text('x'), { force: true }))
  await settle()
  t.notOk(first.isSettled)
  t.equal(second.error?.code, ErrorCode.SEND_QUEUE_FULL)
  t.notOk(forced.isSettled)
  owner.turns()
  owner.room = false
  await settle()
  t.ok(first.isSettled && forced.isSettled)
  const empty: unknown[] = []
  for (let i = 0; i < 20; i++) empty.push(watch(outbox.send(new Uint8Array(0))))
  await settle()
  t.ok(empty.some((outcome) => (outcome as { error?: { code?: string } }).error?.code === ErrorCode.SEND_QUEUE_FULL), 'empty messages count too')
})

t.test('drop', async t => {
  await t.test('tells how much of it was written', async t => {
    const { owner, outbox } = setUp()
    const reason = new RpcError(Category.Canceled, 'given up')
    t.equal(outbox.drop(1, reason), 'absent')
    owner.room = false
    const big = watch(outbox.send(new Uint8Array(300_000), { reqID: 1 }))
    const small = watch(outbox.send(text('x'), { reqID: 2 }))
    t.equal(outbox.drop(3, reason), 'absent')
    t.equal(outbox.drop(2, reason), 'unbegun')
    owner.turns()
    t.equal(outbox.drop(1, reason), 'begun')
    await settle()
    t.equal(big.error, reason)
    t.equal(small.error, reason)
    t.ok(outbox.isEmpty)
    t.equal(outbox.blockedSince, undefined, 'nobody waits for credit any more')
  })

  await t.test('lets those behind go on', async t => {
    const { owner, outbox } = setUp()
    owner.room = false
    watch(outbox.send(new Uint8Array(300_000), { reqID: 1 }))
    const small = watch(outbox.send(text('x'), { reqID: 2 }))
    owner.turns()
    outbox.drop(1, new RpcError(Category.Canceled, 'given up'))
    t.ok(outbox.grant(1000))
    owner.turns()
    await settle()
    t.ok(small.isSettled)
  })

  await t.test('keeps the account of what waits, also while it is compressed', async t => {
    const pending: ((packed: Uint8Array) => void)[] = []
    const slow: Compressor = { id: 9, name: 'slow', compress: () => new Promise((resolve) => { pending.push(resolve) }), decompress: (bytes) => bytes }
    const { outbox } = setUp({ compression: 9, compressors: new CompressorRegistry([slow]), sendBufferBytes: 3000 })
    for (let i = 0; i < 10; i++) {
      watch(outbox.send(new Uint8Array(1000), { reqID: i + 1 }))
      outbox.drop(i + 1, new RpcError(Category.Canceled, 'given up'))
    }
    for (const resolve of pending.splice(0)) resolve(new Uint8Array(1))
    await settle()
    const outcomes = Array.from({ length: 5 }, () => watch(outbox.send(new Uint8Array(1000), { reqID: 99 })))
    await settle()
    t.same(outcomes.map((outcome) => outcome.error?.code), [undefined, undefined, ErrorCode.SEND_QUEUE_FULL, ErrorCode.SEND_QUEUE_FULL, ErrorCode.SEND_QUEUE_FULL])
  })

  await t.test('dropContent leaves the failures', async t => {
    const { owner, outbox } = setUp()
    owner.room = false
    watch(outbox.send(text('a'), { reqID: 1 }))
    watch(outbox.sendFailure(2, new RpcError(Category.NotFound, 'no')))
    watch(outbox.send(text('b'), { reqID: 3 }))
    t.same(outbox.dropContent(new RpcError(Category.DeadlineExceeded, 'late')), [1, 3])
    owner.turns()
    t.same(owner.written.map((payload) => payload.reqID), [2])
  })
})

t.test('order is kept while compression takes its time', async t => {
  const pending: (() => void)[] = []
  const half: Compressor = {
    id: 9,
    name: 'half',
    compress: (bytes) => new Promise((resolve) => { pending.push(() => { resolve(bytes.slice(0, bytes.length / 2)) }) }),
    decompress: (bytes) => bytes
  }
  const { owner, outbox } = setUp({ compression: 9, compressors: new CompressorRegistry([half]) })
  watch(outbox.send(new Uint8Array(200).fill(1), { reqID: 1 }))
  watch(outbox.send(text('small'), { reqID: 2 }))
  watch(outbox.send(new Uint8Array(200).fill(3), { reqID: 3 }))
  owner.turns()
  t.equal(owner.written.length, 0)
  pending[1]?.()
  await settle()
  owner.turns()
  t.equal(owner.written.length, 0, 'the third is ready and waits')
  pending[0]?.()
  await settle()
  owner.turns()
  t.same(owner.written.map((payload) => [payload.reqID, payload.compression, payload.payload.byteLength]), [[1, 9, 100], [2, 0, 5], [3, 9, 100]])
})

t.test('compression that gains nothing or fails is left out', async t => {
  for (const compress of [
    (bytes: Uint8Array) => new Uint8Array(bytes.length + 1),
    (): Uint8Array => { throw new Error('broken') },
    (): Promise<Uint8Array> => Promise.reject(new Error('broken'))
  ]) {
    const { owner, outbox } = setUp({ compression: 9, compressors: new CompressorRegistry([{ id: 9, name: 'bad', compress, decompress: (bytes) => bytes }]) })
    watch(outbox.send(new Uint8Array(200)))
    await settle()
    owner.turns()
    t.match(owner.written, [{ compression: 0 }])
    t.equal(owner.written[0]?.payload.byteLength, 200)
  }
})

t.test('afterAll comes after everything accepted, or never', async t => {
  const { owner, outbox } = setUp()
  let calls = 0
  outbox.afterAll(() => { calls++ })
  t.equal(calls, 1, 'nothing waits')
  owner.room = false
  watch(outbox.send(new Uint8Array(200_000)))
  outbox.afterAll(() => { calls++ })
  owner.turns()
  t.equal(calls, 1)
  t.ok(outbox.grant(WINDOW))
  owner.turns()
  t.equal(calls, 2)
  watch(outbox.send(new Uint8Array(200_000)))
  outbox.afterAll(() => { calls++ })
  outbox.close(new RpcError(Category.Canceled, 'over'))
  owner.turns()
  t.equal(calls, 2, 'what is dropped was not sent')
})

t.test('close drops what waits with the reason', async t => {
  const { owner, outbox } = setUp()
  owner.room = false
  const reason = new RpcError(Category.Canceled, 'over')
  const sending = watch(outbox.send(text('x')))
  outbox.close(reason)
  outbox.close(new RpcError(Category.Canceled, 'again'))
  const failing = watch(outbox.sendFailure(1, reason))
  await settle()
  t.equal(sending.error, reason)
  t.equal(failing.error, reason)
  owner.turns()
  t.equal(owner.written.length, 0)
})

t.test('failures have room for their text and no more', t => {
  const { owner, outbox } = setUp()
  const metadata = { large: new Uint8Array(MAX_MESSAGE_METADATA_BYTES) }
  watch(outbox.sendFailure(1, new RpcError(Category.Internal, '\u20ac'.repeat(10_000), { metadata })))
  watch(outbox.sendFailure(2, new RpcError(Category.Internal, 'short', { metadata: { small: 'x' } })))
  owner.turns()
  t.ok(Buffer.byteLength(owner.written[0]?.error ?? '') <= 4096)
  t.equal(owner.written[0]?.metadata.length, 0, 'metadata too large are left out, the failure arrives')
  t.equal(owner.written[1]?.metadata.length, 1)
  t.equal(errorText(new RpcError(Category.Internal, 'short')), 'short')
  t.equal(metadataBytes([{ key: 'ab', value: new Uint8Array(3) }]), 29)
  t.end()
})

t.test('toward a 1.0 peer there are no chunks and no credit', async t => {
  const { owner, outbox } = setUp({}, { isMinor1: false })
  t.equal(outbox.send(new Uint8Array(1 << 20)), undefined)
  t.equal(owner.written.length, 1)
  owner.room = false
  const sending = watch(outbox.send(new Uint8Array(1 << 20)))
  owner.turns()
  await settle()
  t.ok(sending.isSettled)
  t.notOk(owner.written[1]?.more)
  t.equal(outbox.refusal(text('x'), [{ key: 'k', value: new Uint8Array(60_000) }]), undefined, 'metadata have the limit of an Open')
  t.match(outbox.refusal(text('x'), [{ key: 'k', value: new Uint8Array(66_000) }]), { code: ErrorCode.METADATA_TOO_LARGE })
})

t.test('a grant beyond 2^31-1 is told', t => {
  const { outbox } = setUp()
  t.notOk(outbox.grant(0x7fffffff))
  t.end()
})
