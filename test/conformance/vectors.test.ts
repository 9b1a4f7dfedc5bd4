// Golden bytes: laid out by hand from the specification, then compared with the compiled Go sources.
import t from 'tap'
import { ErrorCode, ProtocolError } from '../../lib/errors.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { decodeMessage } from '../../lib/wire/decode.js'
import { encodeMessage } from '../../lib/wire/encode.js'
import type { SendableMessage } from '../../lib/wire/encode.js'
import { UnknownMessage } from '../../lib/wire/message.js'
import type { Message } from '../../lib/wire/message.js'
import { pack, unpack } from '../../lib/wire/packing.js'
import { Envelope, MSG } from '../../lib/wire/schema.js'
import * as services from '../../lib/wire/service-schema.js'
import type { AnySchema, Schema } from '../../lib/wire/struct.js'
import { decodeStruct } from '../../lib/wire/struct-reader.js'
import { encodeStruct } from '../../lib/wire/struct-writer.js'
import { fromHex, partialFromJson, readJson, toHex, wholeFromJson } from './data.js'
import type { Json } from './data.js'

interface MessageVector { name: string, schema: string, value: Record<string, Json>, hex: string, packed?: string, decodeOnly?: true }
interface PackingVector { name: string, raw: string, packed: string }
interface ErrorVector { name: string, kind: 'decode' | 'unpack' | 'pack', hex: string, go: string }

const vectors = readJson<{ messages: MessageVector[], packing: PackingVector[], errors: ErrorVector[] }>('vectors.json')

const schemas = new Map<string, AnySchema>([[MSG.name, MSG]])
for (const value of Object.values(services)) if ('fields' in value) schemas.set(value.name, value)

/** Fields that 1.0 does not know and 1.1 does. */
const KNOWN_SINCE_1_1: Record<string, Json> = {
  dec_unknown_fields_in_openack: { type: 2, openAck: { sessionID: 1, protocolMajor: 1, window: 5 } },
  dec_unknown_field_in_msg: { type: 6, ping: { id: 1 }, windowUpdate: { sessionID: 1 } }
}

/** Forms of Go without a body: they are read, and written only by the tables, never by encodeMessage. */
const BODILESS: Record<string, string> = {
  ping_id_0_as_go_client_sends_it: 'ping_id_0_safe_form',
  msg_nothing_set: '',
  dec_unknown_msg_type: ''
}

/** What we make of what is wrong; Go's outcome is in the data beside it. */
const OUTCOMES: Record<string, string> = {
  short_header: ErrorCode.MALFORMED,
  root_not_struct: ErrorCode.MALFORMED,
  size_exceeds_data: ErrorCode.MALFORMED, // of a whole frame; a stream waits, see message-reader.test.ts
  size_below_8: ErrorCode.MALFORMED, // Go: an empty message
  size_not_multiple_of_8: ErrorCode.MALFORMED, // Go: accepted
  nested_struct_size_0: ErrorCode.MALFORMED, // Go: endless loop
  list_size_0: ErrorCode.MALFORMED, // Go: endless loop
  bytes_overrun: ErrorCode.MALFORMED, // Go: panic
  nested_overrun: ErrorCode.MALFORMED, // Go: panic
  wrong_wire_type: ErrorCode.MALFORMED, // Go: accepted
  u64_cut: ErrorCode.MALFORMED, // Go: panic
  unpack_short: ErrorCode.MALFORMED,
  unpack_announces_more: ErrorCode.MALFORMED,
  unpack_unaligned_size: ErrorCode.MALFORMED,
  pack_unaligned_input: 'RangeError', // our own mistake, no peer's
  unpack_truncated_word: ErrorCode.MALFORMED, // Go: panic
  unpack_missing_zero_count: ErrorCode.MALFORMED,
  unpack_missing_ff_count: ErrorCode.MALFORMED,
  unpack_ff_run_truncated: ErrorCode.MALFORMED,
  unpack_too_much: ErrorCode.MALFORMED,
  unpack_too_little: ErrorCode.MALFORMED,
  unpack_negative_size: ErrorCode.FRAME_TOO_LARGE, // Go: panic
  unpack_huge_packed_size: ErrorCode.MALFORMED // Go: panic, or allocates it
}

const MAX_BYTES = 1 << 20

function schemaOf (name: string): Schema<object> {
  const schema = schemas.get(name)
  if (schema === undefined) throw new Error(`no schema ${name}`)
  return schema as Schema<object>
}

/** The message that an envelope stands for. */
function messageIn (envelope: Envelope): Message {
  const field = MSG.fields[envelope.type]
  if (field === undefined || field.name === 'type') return Object.assign(new UnknownMessage(), { typeNumber: envelope.type })
  return envelope[field.name] ?? field.schema.create()
}

function encoded (message: SendableMessage): string {
  const writer = new ByteWriter()
  encodeMessage(writer, message)
  return toHex(writer.take())
}

t.test('messages', t => {
  for (const { name, schema: schemaName, value, hex, packed, decodeOnly } of vectors.messages) {
    t.test(name, t => {
      const schema = schemaOf(schemaName)
      const bytes = fromHex(hex)
      const whole = wholeFromJson(schema, KNOWN_SINCE_1_1[name] ?? value)
      t.strictSame(decodeStruct(schema, bytes), whole, 'read by its table')
      if (decodeOnly !== true) t.equal(toHex(encodeStruct(schema, partialFromJson(schema, value))), toHex(bytes), 'written by its table')

      if (whole instanceof Envelope) {
        const message = messageIn(whole)
        t.strictSame(decodeMessage(bytes), message, 'read as a message')
        const safeForm = BODILESS[name]
        if (safeForm !== undefined) {
          if (message.type !== 0) t.equal(encoded(message), toHex(fromHex(vectors.messages.find((other) => other.name === safeForm)?.hex ?? '')), 'written in the safe form')
        } else if (decodeOnly !== true && message.type !== 0) {
          t.equal(encoded(message), toHex(bytes), 'written as a message')
        }
      }
      if (packed !== undefined) {
        const writer = new ByteWriter()
        pack(writer, bytes)
        t.equal(toHex(writer.take()), toHex(fromHex(packed)), 'packed')
        t.strictSame(unpack(fromHex(packed), 0, fromHex(packed).length, MAX_BYTES), bytes, 'unpacked')
      }
      t.end()
    })
  }
  t.end()
})

t.test('packing', t => {
  for (const { name, raw, packed } of vectors.packing) {
    const writer = new ByteWriter()
    pack(writer, fromHex(raw))
    t.equal(toHex(writer.take()), packed, `${name} packed`)
    // Nothing packs to nothing, but nothing is no pack block: a stream cannot hold it.
    if (packed === '') t.throws(() => unpack(fromHex(packed), 0, 0, MAX_BYTES), ProtocolError, `${name} is no block`)
    else t.equal(toHex(unpack(fromHex(packed), 0, packed.length / 2, MAX_BYTES)), raw, `${name} unpacked`)
  }
  t.end()
})

t.test('errors', t => {
  for (const { name, kind, hex, go } of vectors.errors) {
    const bytes = fromHex(hex)
    const run = (): unknown => {
      switch (kind) {
        case 'decode': return decodeMessage(bytes)
        case 'unpack': return unpack(bytes, 0, bytes.length, MAX_BYTES)
        case 'pack': return pack(new ByteWriter(), bytes)
      }
    }
    t.equal(outcomeOf(run), OUTCOMES[name], `${name} (Go: ${go})`)
  }
  t.strictSame(vectors.errors.map(({ name }) => name).sort(), Object.keys(OUTCOMES).sort(), 'every vector has an outcome')
  t.end()
})

function outcomeOf (run: () => unknown): string {
  try {
    run()
    return 'accepted'
  } catch (error) {
    if (error instanceof ProtocolError) return error.scope === 'connection' ? error.code : `${error.scope} ${error.code}`
    return (error as Error).name
  }
}
