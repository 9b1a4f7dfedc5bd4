/**
 * Messages to frames (protocol 1.0, sections 2.2 to 2.5). It owns the envelope, which is the same for every
 * body, and the short way for payloads; all other bodies are written by their tables. Bodies are always
 * written, even empty ones, because a Go server does not survive a message without one (D1, D2).
 *
 *     root header | type | body header | fields of the body ... | IsSet word
 */
import type { MetadataEntry } from '../metadata.js'
import type { ByteWriter } from './byte-writer.js'
import { MsgType } from './message.js'
import type { Message, UnknownMessage } from './message.js'
import { METADATA_ENTRY, MSG, PAYLOAD_METADATA } from './schema.js'
import { Kind, WORD, padded, putHeader } from './struct.js'
import type { AnyField, AnySchema } from './struct.js'
import { sizeOfFields, sizeOfList, writeFields, writeList } from './struct-writer.js'

/** Every message that can be sent. */
export type SendableMessage = Exclude<Message, UnknownMessage>

/** Root header, type and body header. */
const HEAD_BYTES = 3 * WORD
/** What a frame has around the fields of its body. */
const ENVELOPE_BYTES = HEAD_BYTES + WORD

/** Writes any message as one plain frame; answers the frame's size. */
export function encodeMessage (writer: ByteWriter, message: SendableMessage): number {
  const { type } = message
  const schema = bodySchema(type)
  const size = ENVELOPE_BYTES + sizeOfFields(schema, message)
  const at = writer.reserve(size)
  putHead(writer.view, at, type, size)
  writer.position = at + HEAD_BYTES
  writeFields(writer, schema, message)
  putIsSet(writer.view, at + size - WORD, type)
  writer.position = at + size
  return size
}

/** The size of the frame that {@link encodeMessage} writes. */
export function messageFrameBytes (message: SendableMessage): number {
  return ENVELOPE_BYTES + sizeOfFields(bodySchema(message.type), message)
}

/**
 * The size of the frame that {@link writePayload} writes: what flow control charges (protocol 1.1, section 3).
 * @param length of the content
 */
export function payloadFrameBytes (
  sessionID: number, reqID: number, length: number,
  endStream: boolean, compression: number, metadata: readonly MetadataEntry[], more: boolean
): number {
  let size = ENVELOPE_BYTES
  if (sessionID !== 0) size += WORD
  if (reqID !== 0) size += WORD
  if (length > 0) size += WORD + padded(length)
  if (endStream) size += WORD
  if (compression !== 0) size += WORD
  if (metadata.length > 0) size += sizeOfList(METADATA_ENTRY, metadata)
  if (more) size += WORD
  return size
}

/**
 * Writes a Payload frame straight from its parts, with bytes[start, end) as content (copied); answers the
 * frame's size. The same bytes as {@link encodeMessage} for a Payload of these fields. Payloads with ErrCode,
 * Error or DeadlineMS go through `encodeMessage`.
 */
export function writePayload (
  writer: ByteWriter, sessionID: number, reqID: number, bytes: Uint8Array, start: number, end: number,
  endStream: boolean, compression: number, metadata: readonly MetadataEntry[], more: boolean
): number {
  const length = end - start
  const size = payloadFrameBytes(sessionID, reqID, length, endStream, compression, metadata, more)
  const frame = writer.reserve(size)
  const { view } = writer
  putHead(view, frame, MsgType.Payload, size)

  let at = frame + HEAD_BYTES
  if (sessionID !== 0) {
    putHeader(view, at, 0, Kind.U32, sessionID)
    at += WORD
  }
  if (reqID !== 0) {
    putHeader(view, at, 1, Kind.U32, reqID)
    at += WORD
  }
  if (length > 0) {
    putHeader(view, at, 2, Kind.Bytes, length)
    at += WORD
    const next = at + padded(length)
    // The last word first: what the content leaves of it is padding, and pooled memory is not zero.
    view.setUint32(next - 8, 0, true)
    view.setUint32(next - 4, 0, true)
    // A loop for short contents was slower from 16 bytes on (measured).
    writer.bytes.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), at)
    at = next
  }
  if (endStream) {
    putHeader(view, at, 3, Kind.Bool, 1)
    at += WORD
  }
  if (compression !== 0) {
    putHeader(view, at, 4, Kind.U8, compression)
    at += WORD
  }
  if (metadata.length > 0) {
    writer.position = at
    writeList(writer, PAYLOAD_METADATA, METADATA_ENTRY, metadata)
    at = writer.position
  }
  if (more) {
    putHeader(view, at, 9, Kind.Bool, 1)
    at += WORD
  }
  putIsSet(view, at, MsgType.Payload)
  writer.position = frame + size
  return size
}

/** The table of a message's body: Msg has it under the number that is the type of the message. */
function bodySchema (type: MsgType): AnySchema {
  return (MSG.fields[type] as AnyField).schema as AnySchema
}

/** Everything before the first field of the body. */
function putHead (view: DataView, at: number, type: MsgType, size: number): void {
  putHeader(view, at, 0, Kind.Struct, size)
  putHeader(view, at + WORD, 0, Kind.U8, type)
  // The number of the body's field is the type of the message.
  putHeader(view, at + 2 * WORD, type, Kind.Struct, size - HEAD_BYTES)
}

/**
 * Two fields are present, the type and the body. Seven fields to a byte; the top bit says that another byte
 * follows, which for the nine fields after the type is always so.
 */
function putIsSet (view: DataView, at: number, type: MsgType): void {
  view.setUint32(at, 0x81 | 1 << (type < 7 ? type : type + 1), true)
  view.setUint32(at + 4, 0, true)
}
