// snappy.ts: the contract, the vector of the protocol, hostile blocks, and the native library as the other side.
import t from 'tap'
import * as native from 'snappy'
import { ErrorCode } from '../../lib/errors.js'
import { snappy } from '../../lib/compression/snappy.js'
import { testContract } from './contract.js'
import { peakMemory } from './peak-memory.js'
import { areSame, hex, json, noise, outcome, PAYLOADS, randomNumbers, sparse } from './payloads.js'

const codec = snappy()

testContract(t, { name: 'snappy', decoder: codec, encoder: codec, hasChecksum: false })

t.test('has the number and name of the wire', t => {
  t.match(codec, { id: 2, name: 'snappy' })
  t.end()
})

t.test('reads and writes the vector of the protocol', async t => {
  const abc = new TextEncoder().encode('abc')
  t.same(await codec.compress(abc), hex('0308616263'))
  t.same(await codec.decompress(hex('0308616263'), 3), abc)
  t.same(await codec.compress(new Uint8Array(0)), hex('00'))
})

t.test('answers up to 256 KiB at once, more by a promise', async t => {
  const compressed = codec.compress(json(256 * 1024))
  t.type(compressed, Uint8Array)
  t.type(codec.decompress(await compressed, 256 * 1024), Uint8Array)
  const large = codec.compress(json(1 << 20))
  t.type(large, Promise)
  const inflating = codec.decompress(await large, 1 << 20)
  t.type(inflating, Promise)
  await inflating
})

t.test('leaves the event loop its turns', async t => {
  const payload = noise(4 << 20)
  let turns = 0
  let isDone = false
  setImmediate(function count () {
    turns++
    if (!isDone) setImmediate(count)
  })
  await codec.decompress(await codec.compress(payload), payload.length)
  isDone = true
  t.ok(turns > 4, `${turns} turns`)
})

t.test('every element of the format', async t => {
  const cases: [string, string, string][] = [
    ['a literal with one byte of length', '05 f004 6162636465', 'abcde'],
    ['with two', '05 f40400 6162636465', 'abcde'],
    ['with three', '05 f8040000 6162636465', 'abcde'],
    ['with four', '05 fc04000000 6162636465', 'abcde'],
    ['a copy with one byte of offset', '07 08616263 0103', 'abcabca'],
    ['with two', '06 08616263 0a0300', 'abcabc'],
    ['with four', '06 08616263 0b03000000', 'abcabc'],
    ['an overlapping copy', '08 0061 1a0100', 'aaaaaaaa'],
    ['a length in more bytes than it needs', '838000 08616263', 'abc']
  ]
  for (const [label, block, text] of cases) {
    t.equal(Buffer.from(await codec.decompress(hex(block), 100)).toString(), text, label)
  }
})

t.test('hostile blocks', async t => {
  const corrupt: [string, string][] = [
    ['nothing', ''],
    ['a length that does not end', '8080'],
    ['a length of six bytes', '808080808001'],
    ['a length of 2^35 - 1', 'ffffffff7f 00'],
    ['fewer bytes than the length', '05 08616263'],
    ['no elements', '01'],
    ['more bytes than the length', '02 08616263'],
    ['a copy beyond the length', '04 08616263 0a0300'],
    ['elements although the length is 0', '00 0061'],
    ['a literal beyond the end', '05 1061'],
    ['a literal length cut off', '05 f4'],
    ['a literal of 4 GiB', '05 fcffffffff 61'],
    ['a literal of 2 GiB', '05 fcffffff7f 61'],
    ['an offset of 0', '06 08616263 0a0000'],
    ['an offset of 0, short form', '07 08616263 0100'],
    ['a copy from before the start', '06 08616263 0a0400'],
    ['a copy first', '04 0101'],
    ['a far copy from before the start', '06 08616263 0bffffffff'],
    ['a copy cut off', '06 08616263 0a03'],
    ['a short copy cut off', '07 08616263 01'],
    ['a far copy cut off', '06 08616263 0b030000']
  ]
  for (const [label, block] of corrupt) t.equal(await outcome(codec, hex(block), 1 << 30), ErrorCode.CORRUPT_PAYLOAD, label)
  t.equal(await outcome(codec, hex('ffffffff0f 00'), 1 << 20), ErrorCode.MESSAGE_TOO_LARGE)
})

t.test('a length that lies costs nothing', t => {
  const lie = hex('80808080 01 0061') // 256 MiB
  const { grown, code } = peakMemory(t, 'snappy', lie, 512 << 20)
  t.equal(code, ErrorCode.CORRUPT_PAYLOAD)
  t.ok(grown < 30 << 20, `the process grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
  t.end()
})

t.test('exchanges with the native library', async t => {
  const next = randomNumbers(3)
  const payloads = [...Object.values(PAYLOADS), ...Array.from({ length: 200 }, (_, i) => [json, sparse, noise][i % 3]!(next() % 200_000, i))]
  for (const payload of payloads) {
    const compressed = await codec.compress(payload)
    const back = native.uncompressSync(Buffer.from(compressed), { asBuffer: true }) as Buffer
    if (!areSame(back, payload)) t.fail(`${payload.length} bytes to the native library`)
    const theirs = native.compressSync(Buffer.from(payload))
    if (!areSame(await codec.decompress(theirs, payload.length), payload)) t.fail(`${payload.length} bytes from the native library`)
    if (compressed.length > theirs.length * 1.1 + 16) t.fail(`${payload.length} bytes become ${compressed.length}, natively ${theirs.length}`)
  }
})

t.test('accepts and refuses what the native library does', async t => {
  const next = randomNumbers(4)
  for (let round = 0; round < 1500; round++) {
    const block = Buffer.from(await codec.compress([json, sparse][round % 2]!(next() % 500, round)))
    for (let n = next() % 3; n >= 0; n--) block[next() % block.length] = next()
    let theirs: Uint8Array | string
    try {
      theirs = native.uncompressSync(block, { asBuffer: true })
    } catch {
      theirs = ErrorCode.CORRUPT_PAYLOAD
    }
    const ours = await outcome(codec, block, 1 << 30)
    if (typeof ours === 'string' || typeof theirs === 'string' ? ours !== theirs : !areSame(ours, theirs)) {
      t.fail('different', { block: block.toString('hex'), ours, theirs })
    }
  }
})
