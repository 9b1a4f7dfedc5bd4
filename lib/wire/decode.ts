/**
 * Frames to messages (protocol 1.0, sections 2.4 to 2.6). It owns the short way for payloads in the form every
 * sender uses; whatever looks different, and every other message, is read by its table. Both ways give the
 * same messages and the same errors. Splitting a stream into frames is message-reader.ts.
 */
import { ByteReader } from './byte-reader.js'
import { Payload, UnknownMessage } from './message.js'
import type { Message } from './message.js'
import { MSG, PAYLOAD } from './schema.js'
import { WORD, padded } from './struct.js'
import { readFieldInto, readRoot } from './struct-reader.js'

// A header's first four bytes, little-endian: number | type << 16 | lowest byte of the data << 24.
const TYPE_IS_PAYLOAD = 0x04060000 // Msg.Type, u8, 4
const BODY_IS_PAYLOAD = 0x0e0004 // Msg.Payload, struct; without the data byte, like all below
const SESSION_ID = 0x080000
const REQ_ID = 0x080001
const PAYLOAD_BYTES = 0x0d0002
const END_STREAM = 0x010003
const COMPRESSION = 0x060004
const ERR_CODE = 0x070006
const DEADLINE_MS = 0x090008
const MORE = 0x010009

/**
 * Reads one plain frame, which must fill bytes[start, end) exactly. A body that is missing counts as all zero.
 * Bytes fields are views of `bytes`.
 * @throws ProtocolError (`CLAW_ERR_MALFORMED`)
 */
export function decodeMessage (bytes: Uint8Array, start = 0, end = bytes.length): Message {
  return readMessage(new ByteReader(bytes.subarray(start, end)), 0, end - start)
}

/** The same on bound bytes. `start` and `end` lie within them. */
export function readMessage (reader: ByteReader, start: number, end: number): Message {
  return readPayload(reader, start, end) ?? readAny(reader, start, end)
}

/** By the tables: anything that is a message. */
function readAny (reader: ByteReader, start: number, end: number): Message {
  const envelope = readRoot(reader, MSG, start, end)
  const field = MSG.fields[envelope.type]
  if (field === undefined || field.name === 'type') {
    const message = new UnknownMessage()
    message.typeNumber = envelope.type
    return message
  }
  return envelope[field.name] ?? field.schema.create()
}

/**
 * A Payload with its type first, its body second, and nothing that a reader looks at after it; undefined when
 * the frame is anything else. What is odd inside the body is left to the table, field by field.
 */
function readPayload (reader: ByteReader, start: number, end: number): Payload | undefined {
  const { view } = reader
  const fields = start + 3 * WORD
  if (fields > end || view.getUint32(start + 8, true) !== TYPE_IS_PAYLOAD || view.getUint32(start + 12, true) !== 0) return undefined
  if ((view.getUint32(start + 16, true) & 0xffffff) !== BODY_IS_PAYLOAD) return undefined
  // A root or body that is not whole goes to the table too, which has the words for it.
  if (view.getUint8(start + 2) !== 0x0e || sizeAt(view, start) !== end - start || (end - start) % WORD !== 0) return undefined
  const size = sizeAt(view, start + 16)
  const bodyEnd = start + 16 + size
  if (size < WORD || size % WORD !== 0 || bodyEnd > end) return undefined
  // Usually the IsSet word, whose third byte is 0 and ends the scan.
  if (bodyEnd < end && view.getUint8(bodyEnd + 2) !== 0) return undefined

  const message = new Payload()
  for (let at = fields; at < bodyEnd; at += WORD) {
    const low = view.getUint32(at, true)
    switch (low & 0xffffff) {
      case SESSION_ID: message.sessionID = view.getUint32(at + 3, true); continue
      case REQ_ID: message.reqID = view.getUint32(at + 3, true); continue
      case END_STREAM: message.endStream = sizeAt(view, at) !== 0; continue
      case COMPRESSION: message.compression = low >>> 24; continue
      case ERR_CODE: message.errCode = view.getUint16(at + 3, true); continue
      case MORE: message.more = sizeAt(view, at) !== 0; continue
      case DEADLINE_MS:
        if (at + WORD === bodyEnd) break // cut off: the table says so
        at += WORD
        message.deadlineMS = view.getBigUint64(at, true)
        continue
      case PAYLOAD_BYTES: {
        const length = sizeAt(view, at)
        const next = at + padded(length)
        if (next >= bodyEnd) break // cut off as well
        message.payload = reader.slice(at + WORD, length)
        at = next
        continue
      }
    }
    const size = readFieldInto(reader, PAYLOAD, message, at, bodyEnd)
    if (size === 0) break
    at += size - WORD
  }
  return message
}

/** The 40 data bits of a header. */
function sizeAt (view: DataView, at: number): number {
  return (view.getUint32(at, true) >>> 24) + view.getUint32(at + 4, true) * 0x100
}
