import fc from 'fast-check'
import t from 'tap'
import { ErrorCode, ProtocolError } from '../../lib/errors.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { decodeMessage } from '../../lib/wire/decode.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import { isPlainFrameStart, maxPackedBytes, pack, unpack, writePackedFrame } from '../../lib/wire/packing.js'
import { fromHex, toHex } from '../conformance/data.js'
import { frameOf, messages } from './arbitraries.js'
import { naivePack, u64 } from './naive-pack.js'

const MAX_BYTES = 1 << 16

function packed (bytes: Uint8Array): Uint8Array {
  const writer = new ByteWriter({ allocate: (minBytes) => new Uint8Array(minBytes).fill(0xee), release: () => {} })
  pack(writer, bytes)
  return writer.take()
}

/** Words of all the sorts that packing tells apart, in runs that reach its limits. */
const word = fc.oneof(
  fc.uint8Array({ minLength: 8, maxLength: 8 }),
  fc.tuple(fc.constantFrom(0, 1, 2, 7, 8), fc.integer({ min: 1, max: 255 })).map(([zeros, byte]) => new Uint8Array(8).fill(byte, zeros)),
  fc.nat(7).map((at) => new Uint8Array(8).fill(9).fill(0, at, at + 1))
)
const runs = fc.array(fc.tuple(word, fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 3 }) }, { weight: 1, arbitrary: fc.integer({ min: 250, max: 520 }) })), { maxLength: 8 })
const words = runs.map((runs) => Uint8Array.from(runs.flatMap(([word, times]) => new Array<number[]>(times).fill([...word])).flat()))

t.test('the same bytes as the naive packer, and back', t => {
  fc.assert(fc.property(words, (bytes) => {
    const block = packed(bytes)
    if (toHex(block) !== toHex(Uint8Array.from(naivePack(bytes)))) return false
    return bytes.length === 0 || (toHex(unpack(block, 0, block.length, MAX_BYTES)) === toHex(bytes) && block.length - 16 <= maxPackedBytes(bytes.length))
  }), { numRuns: 1000 })
  fc.assert(fc.property(messages, (message) => {
    const frame = frameOf(message)
    const block = packed(frame)
    return toHex(block) === toHex(Uint8Array.from(naivePack(frame))) && toHex(unpack(block, 0, block.length, MAX_BYTES)) === toHex(frame)
  }), { numRuns: 1000 })
  t.end()
})

t.test('ranges of larger arrays', t => {
  const writer = new ByteWriter()
  const count = pack(writer, fromHex('ffffff 0000000000000080 ff'), 3, 11)
  t.equal(count, 18)
  const block = new Uint8Array(30).fill(0xff)
  block.set(writer.take(), 5)
  t.equal(toHex(unpack(block, 5, 23, 8)), '0000000000000080')
  t.end()
})

t.test('counts that our own packer does not choose are read too', t => {
  const block = Uint8Array.from([...u64(24), ...u64(14), 0, 0, 0, 0, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 0])
  t.equal(toHex(unpack(block, 0, block.length, 24)), '00'.repeat(16) + '0102030405060708')
  t.end()
})

/** Runs something and answers the largest array it made. */
function largestAllocation (run: () => void): number {
  const original = globalThis.Uint8Array
  let largest = 0
  globalThis.Uint8Array = new Proxy(original, {
    construct (target, args: unknown[], newTarget) {
      if (typeof args[0] === 'number') largest = Math.max(largest, args[0])
      return Reflect.construct(target, args, newTarget) as object
    }
  })
  try {
    run()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  } finally {
    globalThis.Uint8Array = original
  }
  return largest
}

t.test('the limit counts before anything is allocated', t => {
  const block = packed(new Uint8Array(64))
  t.equal(unpack(block, 0, block.length, 64).length, 64)
  t.throws(() => unpack(block, 0, block.length, 63), { code: ErrorCode.FRAME_TOO_LARGE, scope: 'connection' })
  t.equal(largestAllocation(() => unpack(block, 0, block.length, 64)), 64, 'the measure measures')
  t.equal(largestAllocation(() => unpack(block, 0, block.length, 63)), 0)
  for (const size of [2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53]) {
    const huge = Uint8Array.from([...u64(size), ...u64(2), 0, 255])
    t.throws(() => unpack(huge, 0, huge.length, MAX_BYTES), { code: ErrorCode.FRAME_TOO_LARGE }, `${size}`)
    t.equal(largestAllocation(() => unpack(huge, 0, huge.length, MAX_BYTES)), 0)
  }
  t.end()
})

t.test('10,000 random and damaged blocks are unpacked or refused, within the limit', t => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(0xff)), { maxLength: 4 })
  const block = fc.oneof(
    fc.tuple(words, changes).map(([bytes, changes]) => {
      const block = packed(bytes)
      for (const [at, byte] of changes) if (block.length > 0) block[at % block.length] = byte
      return block
    }),
    fc.tuple(fc.nat(300), fc.uint8Array({ maxLength: 60 })).map(([size, data]) => Uint8Array.from([...u64(size * 8), ...u64(data.length), ...data])),
    fc.uint8Array({ maxLength: 60 })
  )
  fc.assert(fc.property(block, fc.nat(4000), (block, maxBytes) => largestAllocation(() => unpack(block, 0, block.length, maxBytes)) <= maxBytes), { numRuns: 10_000 })
  t.end()
})

t.test('every cut of a block is refused', t => {
  const block = packed(fromHex('0102030405060708 0102030405060708 0000000000000000 0100000000000002'))
  for (let end = 0; end < block.length; end++) {
    t.throws(() => unpack(block, 0, end, MAX_BYTES), ProtocolError)
    if (end < 16) continue
    const lying = block.slice(0, end)
    lying.set(u64(end - 16), 8)
    t.throws(() => unpack(lying, 0, end, MAX_BYTES), { code: ErrorCode.MALFORMED })
  }
  t.end()
})

t.test('plain frames of every message are recognised, their packed form never', t => {
  fc.assert(fc.property(messages, (message) => {
    const frame = frameOf(message)
    return isPlainFrameStart(frame, 0) && !isPlainFrameStart(packed(frame), 0)
  }), { numRuns: 2000 })
  for (const hex of [
    '00000e1000000000 0000060000000000', // no type of message
    '00000e1000000000 0000060a00000000', // one that is not known
    '00000e1000000000 0000070100000000',
    '00000e1000000000 0000060100000001',
    '00000d1000000000 0000060100000000',
    '01000e1000000000 0000060100000000'
  ]) t.notOk(isPlainFrameStart(fromHex(hex), 0), hex)
  t.ok(isPlainFrameStart(fromHex('ff 00000e1000000000 0000060900000000'), 1))
  t.end()
})

t.test('a block that would look plain goes out plain', t => {
  // A frame of 0x10e0000 bytes that packs to 0x1060000. A word with seven non-zero bytes packs to 8 and one with six
  // to 7, without runs; the two words at the start pack to 4 and 3.
  const frame = new Uint8Array(0x10e0000).fill(1)
  for (let at = 16; at < frame.length; at += 8) frame[at + 2] = 0 // a word of type 0: nothing after it is read
  const excess = 4 + 3 + (frame.length - 16) - 0x1060000
  for (let i = 0; i < excess; i++) frame[16 + i * 8 + 7] = 0
  frame.set(fromHex('00000e00000e0100 0000060400000000'))
  t.ok(isPlainFrameStart(packed(frame), 0), 'the test made a collision')

  const writer = new ByteWriter()
  writer.position = writer.reserve(8) + 8
  t.equal(writePackedFrame(writer, frame), false)
  const written = writer.take()
  t.equal(written.length, 8 + frame.length)

  const sizes: number[] = []
  const reader = new MessageReader({ maxFrameBytes: 1 << 25, onMessage: (message, frameBytes) => sizes.push(message.type, frameBytes) })
  reader.acceptPacked = true
  reader.push(written.subarray(8))
  t.strictSame(sizes, [4, frame.length], 'and is read as what it is')
  t.end()
})

t.test('a packed frame, written after other bytes', t => {
  const frame = frameOf({ type: 6, id: 3 })
  const writer = new ByteWriter()
  pack(writer, frame)
  const before = writer.position
  t.equal(writePackedFrame(writer, frame), true)
  const bytes = writer.take()
  t.match(decodeMessage(unpack(bytes, before, bytes.length, MAX_BYTES)), { type: 6, id: 3 })
  t.end()
})
