// Run by zstd.test.ts where the package zstd-napi is: node-zstd.ts with either implementation and zstd.ts: the contract, frames of every kind, each other, zstd(1),
// fzstd, bombs, and damage to frames without checksum.
import { spawnSync } from 'node:child_process'
import * as zlib from 'node:zlib'
import * as fzstd from 'fzstd'
import t from 'tap'
import { ErrorCode } from '../../lib/errors.js'
import { nodeZstd } from '../../lib/compression/node-zstd.js'
import { loadZstdBinding } from '../../lib/compression/node-zstd-napi.js'
import { zstdDecoder } from '../../lib/compression/zstd.js'
import { testContract } from './contract.js'
import { areSame, hex, join, json, noise, outcome, PAYLOADS, randomNumbers, sparse } from './payloads.js'
import { peakMemory } from './peak-memory.js'

const binding = await loadZstdBinding()
const { CCtx, CParameter, EndDirective } = binding
const hasBuiltin = 'zstdCompressSync' in zlib

const napi = await nodeZstd({ implementation: 'zstd-napi' })
const own = zstdDecoder()
const subjects = [
  { name: 'zstd-napi', decoder: napi, encoder: napi, hasChecksum: true },
  { name: 'own decoder', decoder: own, encoder: napi, hasChecksum: true }
]
if (hasBuiltin) {
  const builtin = await nodeZstd({ implementation: 'node:zlib' })
  subjects.push({ name: 'node:zlib', decoder: builtin, encoder: builtin, hasChecksum: true })
}
for (const subject of subjects) testContract(t, subject)

interface FrameOptions {
  level?: number
  checksum?: boolean
  windowLog?: number
  /** Flush in between: the frame then lacks the content size. */
  pieces?: number
}

/** A frame by libzstd. */
function frame (payload: Uint8Array, { level = 3, checksum = true, windowLog, pieces = 0 }: FrameOptions = {}): Uint8Array {
  const context = new CCtx()
  context.setParameter(CParameter.compressionLevel, level)
  context.setParameter(CParameter.checksumFlag, checksum ? 1 : 0)
  if (windowLog !== undefined) context.setParameter(CParameter.windowLog, windowLog)
  const output = new Uint8Array(binding.compressBound(payload.length) + 64 * (pieces + 1))
  if (pieces === 0) return output.slice(0, context.compress2(output, payload))

  let read = 0
  let written = 0
  for (let rest = 1; rest !== 0 || read < payload.length;) {
    const end = Math.min(payload.length, read + Math.ceil(payload.length / pieces))
    const [left, produced, consumed] = context.compressStream2(output.subarray(written), payload.subarray(read, end),
      end === payload.length ? EndDirective.end : EndDirective.flush)
    rest = left
    read += consumed
    written += produced
  }
  return output.slice(0, written)
}

/** Frames written by hand: a header and blocks of [type, size, content]. */
const RAW = 0
const RLE = 1
const COMPRESSED = 2
function block (type: number, size: number, content: ArrayLike<number>, isLast: boolean): Uint8Array {
  const header = (isLast ? 1 : 0) | (type << 1) | (size << 3)
  return Uint8Array.from([header & 0xff, (header >> 8) & 0xff, header >> 16, ...Array.from(content)])
}
const NO_SIZE = '28b52ffd 00' // and a window descriptor
const WINDOW_1_MIB = '50'

t.test('have the number and name of the wire', t => {
  for (const { decoder } of subjects) t.match(decoder, { id: 3, name: 'zstd' })
  t.end()
})

t.test('answers small payloads at once, others by a promise', async t => {
  for (const { decoder, encoder } of subjects) {
    const small = encoder.compress(json(1000))
    t.type(small, Uint8Array)
    t.type(decoder.decompress(await small, 1000), Uint8Array)
    const large = encoder.compress(json(1 << 20))
    t.type(large, Promise)
    const inflating = decoder.decompress(await large, 1 << 20)
    t.type(inflating, Promise)
    await inflating
  }
})

t.test('writes content size and checksum', async t => {
  for (const { name, encoder } of subjects) {
    for (const length of [1, 300, 100_000, 1_000_000]) {
      const compressed = await encoder.compress(json(length))
      t.equal(binding.getFrameContentSize(compressed), length, name)
      t.ok((compressed[4]! & 0x04) !== 0, `${name}: checksum`)
      t.ok(areSame(fzstd.decompress(compressed), json(length)), `${name}: fzstd reads it`)
    }
  }
})

t.test('the own decoder does not compress', t => {
  t.throws(() => own.compress(json(10)), { code: 'CLAW_ERR_UNIMPLEMENTED' })
  t.end()
})

t.test('frames of every level, window and manner', async t => {
  const next = randomNumbers(9)
  for (let round = 0; round < 240; round++) {
    const payload = [json, sparse, noise][round % 3]!(next() % (round % 10 === 0 ? 500_000 : 20_000), round)
    const options = {
      level: 1 + round % 19,
      checksum: round % 2 === 0,
      pieces: round % 4 === 0 ? 1 + next() % 20 : 0,
      ...(round % 5 === 0 ? { windowLog: 10 + next() % 10 } : {})
    }
    const compressed = frame(payload, options)
    for (const { name, decoder } of subjects) {
      if (!areSame(await decoder.decompress(compressed, payload.length), payload)) t.fail(`${name}, round ${round}`, options)
      if (payload.length > 0 && await outcome(decoder, compressed, payload.length - 1) !== ErrorCode.MESSAGE_TOO_LARGE) {
        t.fail(`${name}, round ${round}: one byte less`, options)
      }
    }
  }
})

t.test('exchanges with zstd(1)', async t => {
  for (const payload of Object.values(PAYLOADS)) {
    if (payload.length > 700_000) continue
    for (const args of [['-c'], ['-c', '-12'], ['-c', '--no-check'], ['-c', '--no-content-size', '-1']]) {
      const { status, stdout } = spawnSync('zstd', args, { input: payload, maxBuffer: 1 << 24 })
      if (status !== 0) return t.comment('zstd is not here')
      for (const { name, decoder } of subjects) {
        if (!areSame(await decoder.decompress(stdout, payload.length), payload)) t.fail(`zstd ${args.join(' ')} to ${name}`)
      }
    }
    for (const { name, encoder } of subjects) {
      const { stdout } = spawnSync('zstd', ['-dc'], { input: await encoder.compress(payload), maxBuffer: 1 << 24 })
      if (!areSame(stdout, payload)) t.fail(`${name} to zstd`)
    }
  }
})

t.test('joins frames and passes over skippable ones', async t => {
  const skippable = hex('5a2a4d18 03000000 010203')
  const parts = [json(300), new Uint8Array(0), noise(50_000), json(300_000)]
  const whole = join(...parts)
  const compressed = join(skippable, frame(parts[0]!), skippable, frame(parts[1]!), frame(parts[2]!, { pieces: 2 }), frame(parts[3]!), skippable)
  for (const { name, decoder } of subjects) {
    t.ok(areSame(await decoder.decompress(compressed, whole.length), whole), name)
    t.equal(await outcome(decoder, compressed, whole.length - 1), ErrorCode.MESSAGE_TOO_LARGE, name)
    t.equal((await decoder.decompress(skippable, 0)).length, 0, `${name}: nothing but a skippable one`)

    const small = join(frame(json(10), { pieces: 1 }), frame(json(20)), frame(json(30), { pieces: 3 }))
    t.equal((await decoder.decompress(small, 60)).length, 60, name)
    t.equal(await outcome(decoder, small, 59), ErrorCode.MESSAGE_TOO_LARGE, name)

    const many = join(...new Array<Uint8Array>(256).fill(frame(new Uint8Array(0))))
    t.equal((await decoder.decompress(many, 0)).length, 0, `${name}: 256 frames`)
    t.equal(await outcome(decoder, join(many, skippable), 0), ErrorCode.CORRUPT_PAYLOAD, `${name}: 257 frames`)
  }
})

t.test('raw and repeated blocks', async t => {
  const bytes = join(hex(NO_SIZE + WINDOW_1_MIB), block(RAW, 3, [1, 2, 3], false), block(RLE, 5, [9], false), block(RAW, 0, [], true))
  for (const { name, decoder } of subjects) {
    t.same(await decoder.decompress(bytes, 8), Uint8Array.of(1, 2, 3, 9, 9, 9, 9, 9), name)
    t.equal(await outcome(decoder, bytes, 7), ErrorCode.MESSAGE_TOO_LARGE, name)
  }
})

t.test('headers that are refused', async t => {
  const end = block(RAW, 1, [7], true)
  const cases: [string, Uint8Array, string][] = [
    ['no frame', noise(40), ErrorCode.CORRUPT_PAYLOAD],
    ['a reserved bit', join(hex('28b52ffd 08 50'), end), ErrorCode.CORRUPT_PAYLOAD],
    ['a dictionary', join(hex('28b52ffd 01 50 07'), end), ErrorCode.CORRUPT_PAYLOAD],
    ['an unknown block type', join(hex(NO_SIZE + WINDOW_1_MIB), block(3, 1, [7], true)), ErrorCode.CORRUPT_PAYLOAD],
    ['a block of 129 KiB', join(hex(NO_SIZE + WINDOW_1_MIB), block(RLE, 129 * 1024, [7], true)), ErrorCode.CORRUPT_PAYLOAD],
    ['a block larger than its window', join(hex(NO_SIZE + '00'), block(RLE, 1025, [7], true)), ErrorCode.CORRUPT_PAYLOAD],
    ['a size the blocks cannot yield', join(hex('28b52ffd a0 00000010'), end), ErrorCode.CORRUPT_PAYLOAD],
    ['a size of 2^63', join(hex('28b52ffd e0 0000000000000080'), end), ErrorCode.CORRUPT_PAYLOAD],
    ['a size smaller than the blocks', join(hex('28b52ffd 20 00'), end), ErrorCode.CORRUPT_PAYLOAD],
    ['a window of 32 MiB and more', join(hex(NO_SIZE + '79'), end), ErrorCode.MESSAGE_TOO_LARGE],
    ['a window of 3.75 TiB', join(hex(NO_SIZE + 'ff'), end), ErrorCode.MESSAGE_TOO_LARGE],
    ['a skippable frame cut off', hex('502a4d18 04000000 010203'), ErrorCode.CORRUPT_PAYLOAD],
    ['a block that is empty', join(hex(NO_SIZE + WINDOW_1_MIB), block(COMPRESSED, 0, [], true)), ErrorCode.CORRUPT_PAYLOAD],
    ['literals that repeat no tree', join(hex(NO_SIZE + WINDOW_1_MIB), block(COMPRESSED, 5, [0x43, 0x40, 0, 1, 0], true)), ErrorCode.CORRUPT_PAYLOAD],
    ['a table that repeats none', join(hex(NO_SIZE + WINDOW_1_MIB), block(COMPRESSED, 6, [0x08, 65, 1, 0xfc, 1, 1], true)), ErrorCode.CORRUPT_PAYLOAD],
    ['sequences with a reserved bit', join(hex(NO_SIZE + WINDOW_1_MIB), block(COMPRESSED, 6, [0x08, 65, 1, 0x55, 1, 1], true)), ErrorCode.CORRUPT_PAYLOAD]
  ]
  for (const { name, decoder } of subjects) {
    for (const [label, bytes, code] of cases) t.equal(await outcome(decoder, bytes, 1 << 20), code, `${name}: ${label}`)
    t.equal((await decoder.decompress(join(hex(NO_SIZE + '78'), end), 1)).length, 1, `${name}: a window of 32 MiB`)
  }
})

t.test('a wrong checksum is an error, whatever the rest', async t => {
  for (const { name, decoder } of subjects) {
    for (const payload of Object.values(PAYLOADS)) {
      const damaged = frame(payload)
      damaged[damaged.length - 1]! ^= 0x80
      if (await outcome(decoder, damaged, payload.length) !== ErrorCode.CORRUPT_PAYLOAD) t.fail(`${name}, ${payload.length} bytes`)
    }
  }
  t.end()
})

t.test('damaged frames without checksum: the own decoder never says other than libzstd', async t => {
  const next = randomNumbers(17)
  let agreed = 0
  const whole = Array.from({ length: 57 }, (_, i) =>
    frame([json, sparse][i % 2]!(next() % 3000, i), { checksum: false, level: 1 + i % 19, pieces: i % 3 }))
  for (let round = 0; round < 3000; round++) {
    const damaged = whole[round % whole.length]!.slice()
    for (let n = next() % 3; n >= 0; n--) damaged[next() % damaged.length]! ^= 1 << (next() % 8)
    const ours = await outcome(own, damaged, 20_000)
    const theirs = await outcome(napi, damaged, 20_000)
    // libzstd does not check that a Huffman stream ends where it should (RFC 8878, section 4.2.2 says it must).
    if (typeof ours === 'string') agreed += ours === theirs ? 1 : 0
    else if (typeof theirs === 'string' || !areSame(ours, theirs)) t.fail('different', { frame: Buffer.from(damaged).toString('hex'), theirs })
    else agreed++
  }
  t.ok(agreed > 2700, `${agreed} of 3000 the same`)
})

t.test('bombs cost what the limit allows', async t => {
  const zeros = new Uint8Array(200 << 20)
  // Of single bytes only the blocks' headers tell the size; this needs decoding to be found out.
  const pattern = new Uint8Array(200 << 20)
  pattern.set(noise(1000))
  for (let length = 1000; length < pattern.length; length *= 2) pattern.copyWithin(length, 0, length)
  const bombs = {
    'with content size': frame(zeros),
    'without content size': frame(pattern, { pieces: 1600 }),
    'of repeated bytes': join(hex(NO_SIZE + WINDOW_1_MIB), ...new Array<Uint8Array>(1600).fill(block(RLE, 128 * 1024, [0], false)), block(RAW, 0, [], true)),
    'of frames': join(...new Array<Uint8Array>(200).fill(frame(zeros.subarray(0, 1 << 20), { pieces: 8 })))
  }
  for (const [label, bomb] of Object.entries(bombs)) {
    t.ok(bomb.length < 200_000, `${label}: ${bomb.length} bytes`)
    for (const { name, decoder } of subjects) t.equal(await outcome(decoder, bomb, 1 << 20), ErrorCode.MESSAGE_TOO_LARGE, `${name}, ${label}`)
    for (const codec of ['node-zstd', 'zstd'] as const) {
      const { grown, code } = peakMemory(t, codec, bomb, 1 << 20)
      t.equal(code, ErrorCode.MESSAGE_TOO_LARGE)
      t.ok(grown < 40 << 20, `${codec}, ${label}: the process grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
    }
  }
})

t.test('blocks that copy far beyond their end are not followed', async t => {
  // 32,600 sequences of no literals and the longest match, 4 GB together. It keeps fzstd busy for a minute.
  const sequences = [0x00, 0xff, 0x58, 0x00, 0x54, 0, 0, 52, ...new Array<number>(65_200).fill(0xff), 1]
  const bytes = join(hex(NO_SIZE + WINDOW_1_MIB), block(RAW, 1, [7], false), block(COMPRESSED, sequences.length, sequences, true))
  for (const { name, decoder } of subjects) t.equal(await outcome(decoder, bytes, 1 << 24), ErrorCode.CORRUPT_PAYLOAD, name)
})

t.test('options', async t => {
  const payload = json(100_000)
  const [fast, small] = await Promise.all([1, 19].map(async level => (await (await nodeZstd({ level })).compress(payload)).length))
  t.ok(small! < fast!)
  for (const options of [{ level: 0 }, { level: 23 }, { level: 1.5 }, { concurrency: 0 }, { implementation: 'pigeons' as 'zstd-napi' }]) {
    await t.rejects(nodeZstd(options), { code: ErrorCode.OPTION_INVALID })
  }
  if (!hasBuiltin) await t.rejects(nodeZstd({ implementation: 'node:zlib' }), { code: ErrorCode.OPTION_INVALID, message: /22\.15/ })
})
