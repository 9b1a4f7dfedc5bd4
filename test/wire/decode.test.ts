import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { ErrorCode, ProtocolError } from '../../lib/errors.js'
import { decodeMessage } from '../../lib/wire/decode.js'
import { Open, Payload, Ping } from '../../lib/wire/message.js'
import { MSG } from '../../lib/wire/schema.js'
import { decodeStruct } from '../../lib/wire/struct-reader.js'
import { fromHex } from '../conformance/data.js'
import { frameOf, messages, payloads } from './arbitraries.js'

t.test('10,000 random messages come back as they were', t => {
  fc.assert(fc.property(messages, (message) => isDeepStrictEqual(decodeMessage(frameOf(message)), message)), { numRuns: 10_000 })
  t.end()
})

t.test('a range of a larger array, at any alignment', t => {
  const frame = frameOf(Object.assign(new Payload(), { sessionID: 9, payload: Uint8Array.of(1, 2, 3) }))
  for (let at = 0; at < 9; at++) {
    const bytes = new Uint8Array(at + frame.length + 7).fill(0xff)
    bytes.set(frame, at)
    t.match(decodeMessage(bytes, at, at + frame.length), { sessionID: 9, payload: Uint8Array.of(1, 2, 3) })
  }
  t.end()
})

t.test('the content of a payload is a plain view of the input', t => {
  const input = Buffer.from(frameOf(Object.assign(new Payload(), { payload: Uint8Array.of(1, 2, 3) })))
  const message = decodeMessage(input) as Payload
  t.equal(message.payload.constructor, Uint8Array)
  t.equal(message.payload.buffer, input.buffer)
  t.end()
})

/** Changes some of the bytes; small values make fields of other numbers and types. */
const changes = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(0xff), fc.constantFrom(0, 1, 4, 6, 8, 9, 12, 13, 14, 54, 0xff))), { minLength: 1, maxLength: 4 })

t.test('the short way for payloads and the tables agree, also about what is wrong', t => {
  fc.assert(fc.property(payloads, changes, fc.boolean(), (message, changes, onlyHeads) => {
    const frame = frameOf(message)
    for (const [at, byte] of changes) frame[at % (onlyHeads ? Math.min(frame.length, 64) : frame.length)] = byte
    const read = outcomeOf(() => decodeMessage(frame))
    const byTable = outcomeOf(() => {
      const envelope = decodeStruct(MSG, frame)
      return envelope.type === 4 ? envelope.payload ?? new Payload() : 'another message'
    })
    return byTable === 'another message' || isDeepStrictEqual(read, byTable)
  }), { numRuns: 10_000 })
  t.end()
})

function outcomeOf (run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return error.message
  }
}

t.test('a missing body counts as all zero', t => {
  for (const type of MSG.fields.keys()) {
    if (type === 0) continue
    const message = decodeMessage(fromHex(`00000e1000000000 0000060${type}00000000`))
    t.strictSame(message, frameless(type))
  }
  t.end()
})

/** The all-zero message of a type. */
function frameless (type: number): object {
  const field = MSG.fields[type]
  return field === undefined || field.name === 'type' ? {} : field.schema.create()
}

t.test('types that are none are told apart and ignored by others', t => {
  t.match(decodeMessage(fromHex('00000e1000000000 0000060a00000000')), { type: 0, typeNumber: 10 })
  t.match(decodeMessage(fromHex('00000e0800000000')), { type: 0, typeNumber: 0 })
  t.match(decodeMessage(fromHex('00000e1800000000 0000060000000000 06000e0800000000')), { type: 0, typeNumber: 0 }, 'whatever body stands there')
  t.throws(() => decodeMessage(fromHex('00000e1800000000 0000060600000000 05000e1000000000')), { code: ErrorCode.MALFORMED }, 'which is checked all the same')
  t.end()
})

t.test('odd but legal forms of a payload', t => {
  const forms = {
    'no IsSet word': '00000e2000000000 0000060400000000 04000e1000000000 0000080700000000',
    'body first': '00000e2000000000 04000e1000000000 0000080700000000 0000060400000000',
    'another body before it': '00000e2800000000 0000060400000000 06000e0800000000 04000e1000000000 0000080700000000',
    'an unknown field after it': '00000e2800000000 0000060400000000 04000e1000000000 0000080700000000 6300010100000000',
    'the same field twice': '00000e2800000000 0000060400000000 04000e1800000000 0000080500000000 0000080700000000',
    'a body that replaces it': '00000e3000000000 0000060400000000 04000e1000000000 0100080500000000 04000e1000000000 0000080700000000',
    'a word of type 0 inside': '00000e3000000000 0000060400000000 04000e2000000000 0000080700000000 0000000000000000 0100080500000000',
    'anything after a word of type 0': '00000e3000000000 0000060400000000 04000e1000000000 0000080700000000 9100000000000000 ffffffffffffffff',
    'an unknown field inside': '00000e3000000000 0000060400000000 04000e2000000000 63000d0300000000 6162630000000000 0000080700000000',
    'a number in the root header': '05000e2000000000 0000060400000000 04000e1000000000 0000080700000000'
  }
  const expected = Object.assign(new Payload(), { sessionID: 7 })
  for (const [name, hex] of Object.entries(forms)) t.strictSame(decodeMessage(fromHex(hex)), expected, name)
  t.end()
})

t.test('values cut off by the end of the body', t => {
  t.throws(() => decodeMessage(fromHex('00000e2000000000 0000060400000000 04000e1000000000 0800090000000000')), { code: ErrorCode.MALFORMED })
  t.throws(() => decodeMessage(fromHex('00000e2800000000 0000060400000000 04000e1800000000 02000d0900000000 0000000000000000')), { code: ErrorCode.MALFORMED })
  t.end()
})

t.test('presence of First counts, not its content', t => {
  const open = new Open()
  t.equal((decodeMessage(frameOf(open)) as Open).first, undefined)
  open.first = new Payload()
  t.strictSame((decodeMessage(frameOf(open)) as Open).first, new Payload())
  t.end()
})

t.test('10,000 random frames are a message or a ProtocolError', t => {
  fc.assert(fc.property(messages, changes, fc.nat(3), (message, changes, cutWords) => {
    const frame = frameOf(message)
    for (const [at, byte] of changes) frame[at % frame.length] = byte
    const read = outcomeOf(() => decodeMessage(frame, 0, Math.max(0, frame.length - 8 * cutWords)))
    return typeof read === 'string' || (typeof read === 'object' && read !== null)
  }), { numRuns: 5000 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, withRoot) => {
    const whole = bytes.subarray(0, bytes.length - bytes.length % 8)
    if (withRoot && whole.length > 0) whole.set([0, 0, 14, whole.length, 0, 0, 0, 0])
    outcomeOf(() => decodeMessage(withRoot ? whole : bytes))
  }), { numRuns: 5000 })
  t.end()
})

t.test('empty input', t => {
  t.throws(() => decodeMessage(new Uint8Array(0)), { code: ErrorCode.MALFORMED })
  t.equal(decodeMessage(frameOf(new Ping())).type, 6)
  t.end()
})
