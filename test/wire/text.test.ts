import fc from 'fast-check'
import t from 'tap'
import { readUtf8, utf8Length, writeUtf8 } from '../../lib/wire/text.js'

const anyText = fc.oneof(
  fc.string({ maxLength: 50 }),
  fc.string({ unit: 'binary', maxLength: 50 }),
  // Any units at all, halves of pairs included.
  fc.array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd7ff, max: 0xe000 })), { maxLength: 50 }).map((units) => String.fromCharCode(...units))
)

t.test('the same as TextEncoder and TextDecoder, for any string', t => {
  fc.assert(fc.property(anyText, fc.nat(9), (text, at) => {
    const expected = new TextEncoder().encode(text)
    const bytes = new Uint8Array(at + expected.length + 3).fill(0xee)
    const written = writeUtf8(bytes, at, text)
    return utf8Length(text) === expected.length && written === expected.length &&
      Buffer.from(expected).equals(bytes.subarray(at, at + written)) && bytes[at + written] === 0xee &&
      readUtf8(bytes, at, written) === new TextDecoder('utf-8', { ignoreBOM: true }).decode(expected)
  }), { numRuns: 10_000 })
  t.end()
})

t.test('a byte order mark is text', t => {
  t.equal(readUtf8(new TextEncoder().encode('\ufeffa'), 0, 4), '\ufeffa')
  t.end()
})

t.test('invalid UTF-8 becomes U+FFFD', t => {
  t.equal(readUtf8(Uint8Array.of(0x61, 0xff, 0x62, 0xc3), 0, 4), 'a\ufffdb\ufffd')
  t.end()
})
