// node-gzip.ts and gzip.ts: the contract, each against the other, against Python and gzip(1), and bombs.
import { spawnSync } from 'node:child_process'
import { gzipSync as nodeGzipSync } from 'node:zlib'
import t from 'tap'
import { ErrorCode } from '../../lib/errors.js'
import { gzip } from '../../lib/compression/gzip.js'
import type { GzipLevel } from '../../lib/compression/gzip.js'
import { nodeGzip } from '../../lib/compression/node-gzip.js'
import type { Compressor } from '../../types/compressor.js'
import { peakMemory } from './peak-memory.js'
import { testContract } from './contract.js'
import { areSame, hex, join, json, noise, outcome, PAYLOADS } from './payloads.js'

/** As in a browser that lacks them. */
function withoutStreams (compressor: Compressor): Compressor {
  const hidden = ['CompressionStream', 'DecompressionStream'] as const
  const hide = <T>(call: () => T): T => {
    const saved = hidden.map(name => [name, Object.getOwnPropertyDescriptor(globalThis, name)!] as const)
    for (const name of hidden) Reflect.deleteProperty(globalThis, name)
    try {
      return call()
    } finally {
      for (const [name, descriptor] of saved) Object.defineProperty(globalThis, name, descriptor)
    }
  }
  return {
    ...compressor,
    compress: bytes => hide(() => compressor.compress(bytes)),
    decompress: (bytes, maxBytes) => hide(() => compressor.decompress(bytes, maxBytes))
  }
}

const codecs = {
  'node:zlib': nodeGzip(),
  platform: gzip(),
  fflate: withoutStreams(gzip())
}

for (const [name, codec] of Object.entries(codecs)) testContract(t, { name, decoder: codec, encoder: codec, hasChecksum: true })

t.test('has the number and name of the wire', t => {
  for (const codec of Object.values(codecs)) t.match(codec, { id: 1, name: 'gzip' })
  t.end()
})

t.test('answers small payloads at once, large ones by a promise', async t => {
  for (const codec of [nodeGzip(), gzip()]) {
    t.type(codec.compress(json(1000)), Uint8Array)
    t.type(codec.decompress(nodeGzipSync(json(1000)), 1000), Uint8Array)
    const large = codec.compress(json(100_000))
    t.type(large, Promise)
    await large
    const inflating = codec.decompress(nodeGzipSync(json(1_000_000)), 1_000_000)
    t.type(inflating, Promise)
    await inflating
  }
})

t.test('a small input that inflates to more than it claims is not done on the event loop', async t => {
  const bomb = nodeGzipSync(new Uint8Array(1 << 20))
  bomb.writeUInt32LE(5, bomb.length - 4)
  const result = nodeGzip().decompress(bomb, 2 << 20)
  t.type(result, Promise)
  await t.rejects(Promise.resolve(result), { code: ErrorCode.CORRUPT_PAYLOAD })
})

t.test('each reads what the others write', async t => {
  for (const [label, payload] of Object.entries(PAYLOADS)) {
    for (const [writer, encoder] of Object.entries(codecs)) {
      const compressed = await encoder.compress(payload)
      for (const [reader, decoder] of Object.entries(codecs)) {
        if (!areSame(await decoder.decompress(compressed, payload.length), payload)) t.fail(`${label} from ${writer} to ${reader}`)
      }
    }
  }
})

t.test('reads what Go writes', async t => {
  // No data: Go ends with an empty stored block. Its header says neither time nor system (protocol 1.0, section 4).
  const empty = hex('1f8b08000000000000ff 010000ffff 00000000 00000000')
  for (const codec of Object.values(codecs)) {
    t.equal((await codec.decompress(empty, 0)).length, 0)
  }
  t.end()
})

t.test('joins members', async t => {
  const parts = [json(100), new Uint8Array(0), noise(70_000), json(100), json(100), json(300_000)]
  const whole = join(...parts)
  const members = join(...parts.map(part => nodeGzipSync(part)))
  const same = join(nodeGzipSync('abc'), nodeGzipSync('abc'))
  for (const [name, codec] of Object.entries(codecs)) {
    t.ok(areSame(await codec.decompress(members, whole.length), whole), name)
    t.equal(await outcome(codec, members, whole.length - 1), ErrorCode.MESSAGE_TOO_LARGE, name)
    t.equal(Buffer.from(await codec.decompress(same, 10)).toString(), 'abcabc', name)

    const damaged = members.slice()
    damaged[nodeGzipSync(parts[0]!).length - 8]! ^= 1
    t.equal(await outcome(codec, damaged, whole.length), ErrorCode.CORRUPT_PAYLOAD, `${name}: a checksum in the middle`)
  }
})

t.test('reads members of many lengths, cut by slices anywhere', async t => {
  const parts = Array.from({ length: 60 }, (_, i) => json(i * 97, i))
  const members = join(...parts.map(part => nodeGzipSync(part)))
  const whole = join(...parts)
  for (const maxBytes of [whole.length, 1 << 20, 1 << 30]) {
    t.ok(areSame(await codecs.fflate.decompress(members, maxBytes), whole))
  }
})

t.test('fflate: refuses more than 1,024 members', async t => {
  const member = nodeGzipSync('')
  t.equal((await codecs.fflate.decompress(join(...new Array<Buffer>(1024).fill(member)), 10)).length, 0)
  t.equal(await outcome(codecs.fflate, join(...new Array<Buffer>(1025).fill(member)), 10), ErrorCode.CORRUPT_PAYLOAD)
})

t.test('reads headers with all optional fields', async t => {
  const payload = json(100)
  const plain = nodeGzipSync(payload)
  const header = hex('1f8b08 1c 01020304 00 ff 0300 616263 6e616d6500 636f6d6d656e7400')
  for (const codec of Object.values(codecs)) {
    t.ok(areSame(await codec.decompress(join(header, plain.subarray(10)), 100), payload))
  }
})

t.test('exchanges with Python and gzip(1)', async t => {
  const payload = json(50_000)
  const programs = [
    ['python3', ['-c', 'import sys,gzip; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read()))'], ['-c', 'import sys,gzip; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))']],
    ['gzip', ['-c'], ['-dc']]
  ] as const
  for (const [program, compress, decompress] of programs) {
    const { status, stdout } = spawnSync(program, compress, { input: payload })
    if (status !== 0) {
      t.comment(`${program} is not here`)
      continue
    }
    for (const [name, codec] of Object.entries(codecs)) {
      t.ok(areSame(await codec.decompress(stdout, payload.length), payload), `${program} to ${name}`)
      const back = spawnSync(program, decompress, { input: await codec.compress(payload) })
      t.ok(areSame(back.stdout, payload), `${name} to ${program}`)
    }
  }
})

t.test('a bomb of 200 kB that is 200 MiB costs what the limit allows', async t => {
  const bomb = nodeGzipSync(new Uint8Array(200 << 20))
  t.ok(bomb.length < 250_000)
  const lying = Buffer.from(bomb)
  lying.writeUInt32LE(1000, lying.length - 4)
  for (const [name, codec] of Object.entries(codecs)) {
    t.equal(await outcome(codec, bomb, 1 << 20), ErrorCode.MESSAGE_TOO_LARGE, name)
    t.equal(await outcome(codec, lying, 1 << 20), ErrorCode.MESSAGE_TOO_LARGE, `${name}, a length that lies`)
  }
  const control = peakMemory(t, 'node-gzip', bomb, 200 << 20)
  t.equal(control.code, undefined)
  t.ok(control.grown > 190 << 20, 'the measurement would notice')
  for (const codec of ['node-gzip', 'gzip', 'gzip without streams'] as const) {
    const { grown, code } = peakMemory(t, codec, lying, 1 << 20)
    t.equal(code, ErrorCode.MESSAGE_TOO_LARGE, codec)
    t.ok(grown < 40 << 20, `${codec}: the process grew by ${(grown / 2 ** 20).toFixed(1)} MiB`)
  }
})

t.test('options', async t => {
  const payload = json(10_000)
  const sizes = await Promise.all(([0, 1, 9] as const).map(async level => (await nodeGzip({ level }).compress(payload)).length))
  t.ok(sizes[0]! > payload.length && sizes[1]! > sizes[2]!)
  t.ok(gzip({ level: 0 }).compress(payload) instanceof Uint8Array)
  for (const options of [{ level: 10 }, { level: -1 }, { level: 1.5 }, { concurrency: 0 }]) {
    t.throws(() => nodeGzip(options), { code: ErrorCode.OPTION_INVALID })
  }
  t.throws(() => gzip({ level: 10 as GzipLevel }), { code: ErrorCode.OPTION_INVALID })
})
