/** What types/compressor.ts promises, as tests that every format must pass. */
import type { Test } from 'tap'
import { ErrorCode } from '../../lib/errors.js'
import type { Compressor } from '../../types/compressor.js'
import { areSame, inTheMiddle, json, noise, outcome, PAYLOADS, randomNumbers } from './payloads.js'

export interface Subject {
  name: string
  decoder: Compressor
  /** Who writes what the decoder reads; the decoder itself where it can. */
  encoder: Compressor
  /** Whether the format's checksum finds any damage. */
  hasChecksum: boolean
}

/** Registers the tests of one format. */
export function testContract (t: Test, { name, decoder, encoder, hasChecksum }: Subject): void {
  t.test(`${name}: gives back what was compressed`, async t => {
    for (const [label, payload] of Object.entries(PAYLOADS)) {
      const original = payload.slice()
      const compressed = await encoder.compress(inTheMiddle(payload))
      t.ok(areSame(payload, original), `${label}: the payload is not changed`)
      const input = inTheMiddle(compressed)
      const result = await decoder.decompress(input, payload.length)
      t.ok(areSame(result, payload), `${label} comes back, its length being the limit`)
      t.ok(areSame(input, compressed), `${label}: the compressed bytes are not changed`)
      t.equal(Object.getPrototypeOf(result), Uint8Array.prototype, `${label}: no Buffer`)
      t.not(result.buffer, input.buffer, `${label}: memory of its own`)
    }
  })

  t.test(`${name}: one byte more than the limit is too many`, async t => {
    for (const [label, payload] of Object.entries(PAYLOADS)) {
      if (payload.length === 0) continue
      const compressed = await encoder.compress(payload)
      t.equal(await outcome(decoder, compressed, payload.length - 1), ErrorCode.MESSAGE_TOO_LARGE, label)
      t.equal(await outcome(decoder, compressed, 0), ErrorCode.MESSAGE_TOO_LARGE, `${label}, nothing allowed`)
    }
  })

  t.test(`${name}: several at once do not disturb each other`, async t => {
    const payloads = Array.from({ length: 12 }, (_, i) => json(100_000 + 50_000 * (i % 4), i))
    const results = await Promise.all(payloads.map(async payload => await decoder.decompress(await encoder.compress(payload), payload.length)))
    t.ok(results.every((result, i) => areSame(result, payloads[i]!)))
  })

  t.test(`${name}: every truncation is an error`, async t => {
    for (const payload of [new Uint8Array(0), json(300), noise(40), new Uint8Array(5000)]) {
      const compressed = await encoder.compress(payload)
      for (let length = 0; length < compressed.length; length++) {
        const result = await outcome(decoder, compressed.subarray(0, length), 10_000)
        if (result !== ErrorCode.CORRUPT_PAYLOAD) t.fail(`${payload.length} bytes cut to ${length} of ${compressed.length}`, { result })
      }
    }
    for (const payload of [noise(200_000), json(1_000_000)]) {
      const compressed = await encoder.compress(payload)
      for (let length = 0; length < compressed.length; length += 1 + Math.floor(compressed.length / 50)) {
        t.equal(await outcome(decoder, compressed.subarray(0, length), payload.length), ErrorCode.CORRUPT_PAYLOAD)
      }
    }
  })

  t.test(`${name}: bytes behind the end are an error`, async t => {
    for (const payload of [json(300), json(200_000)]) {
      const compressed = await encoder.compress(payload)
      for (const tail of [[0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1], [0x1f], [0x1f, 0x8b], [0x28, 0xb5, 0x2f, 0xfd], [...noise(64)]]) {
        const result = await outcome(decoder, Uint8Array.from([...compressed, ...tail]), 400_000)
        t.equal(result, ErrorCode.CORRUPT_PAYLOAD, `${payload.length} bytes and ${tail.length} more`)
      }
    }
  })

  t.test(`${name}: every bit flipped is an error${hasChecksum ? ' or changes nothing' : ', changes nothing, or stays in bounds'}`, async t => {
    let errors = 0
    for (const payload of [json(400), noise(50), new Uint8Array(0)]) {
      const compressed = await encoder.compress(payload)
      for (let bit = 0; bit < compressed.length * 8; bit++) {
        const damaged = compressed.slice()
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        const result = await outcome(decoder, damaged, 1000)
        if (typeof result === 'string') errors++
        else if (hasChecksum && !areSame(result, payload)) t.fail(`bit ${bit} gave wrong data`)
        else if (result.length > 1000) t.fail(`bit ${bit} gave ${result.length} bytes`)
      }
    }
    t.ok(errors > 0)
  })

  t.test(`${name}: damage in many places`, async t => {
    const next = randomNumbers(5)
    for (const payload of [json(3000), json(90_000), noise(70_000)]) {
      const compressed = await encoder.compress(payload)
      for (let round = 0; round < 150; round++) {
        const damaged = compressed.slice()
        for (let n = 1 + next() % 4; n > 0; n--) damaged[next() % damaged.length] = next()
        const result = await outcome(decoder, damaged, payload.length + 1000)
        if (typeof result !== 'string' && hasChecksum && !areSame(result, payload)) t.fail(`round ${round} gave wrong data`)
      }
    }
    t.end()
  })

  t.test(`${name}: noise is an error`, async t => {
    for (let length = 0; length < 300; length++) {
      const result = await outcome(decoder, noise(length, length), 1000)
      if (hasChecksum) t.type(result, 'string')
    }
    t.end()
  })
}
