// limiter.ts, turn.ts, growing-output.ts and xxh64.ts.
import t from 'tap'
import { GrowingOutput } from '../../lib/compression/growing-output.js'
import { Limiter } from '../../lib/compression/limiter.js'
import { inLaterTurns } from '../../lib/compression/turn.js'
import { Xxh64 } from '../../lib/compression/xxh64.js'
import { noise } from './payloads.js'

t.test('the limiter runs at most so many at once, in order, and survives failures', async t => {
  const limiter = new Limiter(2)
  const finish: (() => void)[] = []
  const started: number[] = []
  const jobs = [0, 1, 2, 3, 4].map(async n => await limiter.run(async () => {
    started.push(n)
    await new Promise<void>(resolve => { finish[n] = resolve })
    if (n === 1) throw new Error('failed')
    return n
  }))
  const settled = Promise.allSettled(jobs)
  t.strictSame(started, [0, 1])
  finish[1]!()
  await t.rejects(jobs[1]!, { message: 'failed' })
  t.strictSame(started, [0, 1, 2])
  finish[0]!()
  t.equal(await jobs[0], 0)
  t.strictSame(started, [0, 1, 2, 3])
  finish[2]!()
  finish[3]!()
  await Promise.all([jobs[2], jobs[3]])
  t.strictSame(started, [0, 1, 2, 3, 4])
  finish[4]!()
  await settled

  await t.rejects(limiter.run(() => { throw new Error('at once') }), { message: 'at once' })
  t.equal(await limiter.run(() => 7), 7)
})

t.test('steps run in turns of their own and may fail', async t => {
  let steps = 0
  const running = inLaterTurns(() => ++steps === 3)
  t.equal(steps, 0)
  await running
  t.equal(steps, 3)
  await t.rejects(inLaterTurns(() => { throw new Error('broken') }), { message: 'broken' })
})

t.test('output grows to its limit and not beyond', t => {
  const output = new GrowingOutput(4, 100)
  t.equal(output.reserve(3).length, 4)
  output.bytes.set([1, 2, 3])
  output.length = 3
  t.equal(output.reserve(2).length, 8)
  t.equal(output.reserve(1000).length, 100)
  t.same(output.result(), Uint8Array.of(1, 2, 3))
  t.equal(output.result().buffer.byteLength, 3, 'a short result keeps no long memory alive')
  output.length = 100
  t.equal(output.result(), output.bytes)
  t.end()
})

/** The specification, with BigInt. */
function reference (bytes: Uint8Array): number {
  const [P1, P2, P3, P4, P5] = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n] as const
  const cut = (value: bigint): bigint => BigInt.asUintN(64, value)
  const rotate = (value: bigint, bits: bigint): bigint => cut(value << bits) | (value >> (64n - bits))
  const round = (lane: bigint, input: bigint): bigint => cut(rotate(cut(lane + input * P2), 31n) * P1)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  let hash: bigint = P5
  if (bytes.length >= 32) {
    const lanes = [cut(P1 + P2), P2, 0n, cut(-P1)]
    for (; at + 32 <= bytes.length; at += 32) lanes.forEach((lane, i) => { lanes[i] = round(lane, view.getBigUint64(at + 8 * i, true)) })
    hash = cut([1n, 7n, 12n, 18n].reduce((sum, bits, i) => sum + rotate(lanes[i]!, bits), 0n))
    for (const lane of lanes) hash = cut((hash ^ round(0n, lane)) * P1 + P4)
  }
  hash = cut(hash + BigInt(bytes.length))
  for (; at + 8 <= bytes.length; at += 8) hash = cut(rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4)
  if (at + 4 <= bytes.length) {
    hash = cut(rotate(hash ^ cut(BigInt(view.getUint32(at, true)) * P1), 23n) * P2 + P3)
    at += 4
  }
  for (; at < bytes.length; at++) hash = cut(rotate(hash ^ cut(BigInt(bytes[at]!) * P5), 11n) * P1)
  hash = cut((hash ^ (hash >> 33n)) * P2)
  hash = cut((hash ^ (hash >> 29n)) * P3)
  return Number((hash ^ (hash >> 32n)) & 0xffffffffn)
}

t.test('XXH64 is what the specification says, in one piece and in many', t => {
  t.equal(reference(new Uint8Array(0)), 0x51d8e999, 'the known value for nothing')
  for (let length = 0; length < 300; length++) {
    const bytes = noise(length + 5, length).subarray(5)
    const expected = reference(bytes)
    if (new Xxh64(0).low(bytes, length) !== expected) t.fail(`${length} bytes`)
    const sum = new Xxh64(3)
    for (let end = 3; end < length; end += 1 + end % 50) sum.update(bytes, end)
    if (length >= 3 && sum.low(bytes, length) !== reference(bytes.subarray(3))) t.fail(`${length} bytes in pieces`)
  }
  for (const byte of [0, 0xff]) {
    const bytes = new Uint8Array(1000).fill(byte)
    t.equal(new Xxh64(0).low(bytes, 1000), reference(bytes))
  }
  t.end()
})
