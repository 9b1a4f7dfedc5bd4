import fc from 'fast-check'
import t from 'tap'
import { NO_METADATA } from '../../lib/metadata.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { encodeMessage, messageFrameBytes, payloadFrameBytes, writePayload } from '../../lib/wire/encode.js'
import { NO_BYTES, Open, Payload, WindowUpdate } from '../../lib/wire/message.js'
import { Envelope, MSG } from '../../lib/wire/schema.js'
import { encodeStruct } from '../../lib/wire/struct-writer.js'
import { fromHex, toHex } from '../conformance/data.js'
import { frameOf, messages, plainPayloads } from './arbitraries.js'

/** Memory with old bytes in it, as a pool gives it: what is not written shows. */
function dirtyWriter (): ByteWriter {
  return new ByteWriter({ allocate: (minBytes) => new Uint8Array(minBytes + 5).fill(0xee), release: () => {} })
}

/** What the table of the whole message makes of it. */
function byTable (message: Parameters<typeof encodeMessage>[1]): string {
  const envelope = new Envelope()
  envelope.type = message.type
  const field = MSG.fields[message.type]
  return toHex(encodeStruct(MSG, Object.assign(envelope, field === undefined ? {} : { [field.name]: message })))
}

t.test('encodeMessage is what the table of Msg says, into dirty memory', t => {
  fc.assert(fc.property(fc.array(messages, { minLength: 1, maxLength: 3 }), (all) => {
    const writer = dirtyWriter()
    const sizes = all.map((message) => encodeMessage(writer, message))
    return sizes.every((size, i) => size === messageFrameBytes(all[i] as (typeof all)[number])) &&
      toHex(writer.take()) === all.map(byTable).join('')
  }), { numRuns: 5000 })
  t.end()
})

t.test('writePayload is what the table says, from any range, into dirty memory', t => {
  fc.assert(fc.property(plainPayloads, fc.nat(5), fc.nat(5), (message, before, after) => {
    const { sessionID, reqID, payload, endStream, compression, metadata, more } = message
    const content = new Uint8Array(before + payload.length + after).fill(0xdd)
    content.set(payload, before)
    const writer = dirtyWriter()
    const size = writePayload(writer, sessionID, reqID, content, before, before + payload.length, endStream, compression, metadata, more)
    return size === payloadFrameBytes(sessionID, reqID, payload.length, endStream, compression, metadata, more) &&
      size === writer.position && toHex(writer.take()) === byTable(message)
  }), { numRuns: 10_000 })
  t.end()
})

t.test('bodies are written even when they are empty (defects D1, D2)', t => {
  const writer = new ByteWriter()
  writePayload(writer, 0, 0, NO_BYTES, 0, 0, false, 0, NO_METADATA, false)
  const empty = toHex(fromHex('00000e2000000000 0000060400000000 04000e0800000000 9100000000000000'))
  t.equal(toHex(writer.take()), empty)
  t.equal(toHex(frameOf(new Payload())), empty)
  t.equal(toHex(frameOf(new Open())), toHex(fromHex('00000e2800000000 0000060100000000 01000e1000000000 01000e0800000000 8300000000000000')), 'and so is Descr')
  t.end()
})

t.test('what is new in 1.1', t => {
  const update = new WindowUpdate()
  update.sessionID = 1
  update.bytes = 0x8000
  t.equal(toHex(frameOf(update)), toHex(fromHex('00000e3000000000 0000060900000000 09000e1800000000 0000080100000000 0100080080000000 8104000000000000')))

  const open = new Open()
  open.first = new Payload()
  open.window = 1
  t.equal(toHex(frameOf(open)), toHex(fromHex('00000e3800000000 0000060100000000 01000e2000000000 01000e0800000000 0a000e0800000000 0b00080100000000 8300000000000000')),
    'an empty First is a bare header')

  const answer = new Payload()
  answer.errCode = 5
  answer.error = 'no'
  answer.deadlineMS = 1n
  answer.more = true
  t.equal(toHex(frameOf(answer)), toHex(fromHex(
    '00000e5000000000 0000060400000000 04000e3800000000 0600070500000000 07000d0200000000 6e6f000000000000 0800090000000000 0100000000000000 0900010100000000 9100000000000000')))
  t.end()
})
