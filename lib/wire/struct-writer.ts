/**
 * The writing half of the table-driven codec: computes the exact size, then writes once (protocol 1.0,
 * sections 2.2 to 2.4). Fields at their zero value are left out, as Go leaves them out. It knows no message
 * in particular.
 */
import { ByteWriter } from './byte-writer.js'
import { Kind, WORD, padded, putHeader } from './struct.js'
import type { AnyField, AnySchema, AnyValue, Schema } from './struct.js'
import { utf8Length, writeUtf8 } from './text.js'

/** One value as a root struct in memory of its own. Fields that are undefined count as absent. */
export function encodeStruct<T extends object> (schema: Schema<T>, value: Partial<T>): Uint8Array {
  const isSetBytes = schema.isSet === true ? padded(Math.ceil(schema.fields.length / 7)) : 0
  const size = WORD + sizeOfFields(schema, value) + isSetBytes
  const writer = new ByteWriter()
  const start = writer.reserve(size)
  putHeader(writer.view, start, 0, Kind.Struct, size)
  writer.position += WORD
  writeFields(writer, schema, value)
  if (isSetBytes > 0) writeIsSet(writer, schema, value, isSetBytes)
  return writer.take()
}

/** How many bytes the fields take, the struct's own header not counted. */
export function sizeOfFields (schema: AnySchema, value: object): number {
  let size = 0
  for (const field of schema.fields) {
    const content = (value as AnyValue)[field.name]
    if (content !== undefined) size += sizeOfField(field, content)
  }
  return size
}

function sizeOfField (field: AnyField, content: unknown): number {
  let size: number
  switch (field.kind) {
    case Kind.U64: return content === 0n ? 0 : 2 * WORD
    case Kind.String: size = utf8Length(content as string); break
    case Kind.Bytes: size = (content as Uint8Array).length; break
    case Kind.Struct:
      size = sizeOfFields(field.schema as AnySchema, content as object)
      return size === 0 && field.keepEmpty !== true ? 0 : WORD + size
    case Kind.Structs: return sizeOfList(field.schema as AnySchema, content as readonly object[])
    default: return scalar(field.kind, content) === 0 ? 0 : WORD
  }
  return size === 0 ? 0 : WORD + padded(size)
}

/** How many bytes a list takes with its header; nothing when it is empty. */
export function sizeOfList (schema: AnySchema, items: readonly object[]): number {
  if (items.length === 0) return 0
  let size = WORD
  for (const item of items) size += WORD + sizeOfFields(schema, item)
  return size
}

/** The value as it stands in the data bits, cut to its width like a reader would cut it. */
function scalar (kind: Kind, content: unknown): number {
  switch (kind) {
    case Kind.Bool: return content === true ? 1 : 0
    case Kind.U8: return (content as number) & 0xff
    case Kind.U16: return (content as number) & 0xffff
    default: return (content as number) >>> 0
  }
}

/** Writes the fields at the writer's position, for which the caller has reserved {@link sizeOfFields}. */
export function writeFields (writer: ByteWriter, schema: AnySchema, value: object): void {
  const { fields } = schema
  for (let number = 0; number < fields.length; number++) {
    const field = fields[number] as AnyField
    const content = (value as AnyValue)[field.name]
    if (content !== undefined) writeField(writer, number, field, content)
  }
}

function writeField (writer: ByteWriter, number: number, field: AnyField, content: unknown): void {
  const { bytes, view, position: at } = writer
  switch (field.kind) {
    case Kind.U64:
      if (content === 0n) return
      putHeader(view, at, number, Kind.U64, 0)
      view.setBigUint64(at + WORD, content as bigint, true)
      writer.position = at + 2 * WORD
      return
    case Kind.String: {
      const length = writeUtf8(bytes, at + WORD, content as string)
      if (length > 0) finishBytes(writer, number, length)
      return
    }
    case Kind.Bytes: {
      const { length } = content as Uint8Array
      if (length === 0) return
      bytes.set(content as Uint8Array, at + WORD)
      finishBytes(writer, number, length)
      return
    }
    case Kind.Struct:
      writer.position = at + WORD
      writeFields(writer, field.schema as AnySchema, content as object)
      // Go drops a child without content; so do we, unless its presence says something.
      if (writer.position === at + WORD && field.keepEmpty !== true) writer.position = at
      else putHeader(view, at, number, Kind.Struct, writer.position - at)
      return
    case Kind.Structs:
      writeList(writer, number, field.schema as AnySchema, content as readonly object[])
      return
    default: {
      const data = scalar(field.kind, content)
      if (data === 0) return
      putHeader(view, at, number, field.kind, data)
      writer.position = at + WORD
    }
  }
}

/** Puts header and padding around the bytes that stand behind the place of the header. */
function finishBytes (writer: ByteWriter, number: number, length: number): void {
  const { bytes, view, position: at } = writer
  const end = at + WORD + length
  putHeader(view, at, number, Kind.Bytes, length)
  writer.position = at + WORD + padded(length)
  // The memory is pooled: what is not written is somebody's old message.
  for (let i = end; i < writer.position; i++) bytes[i] = 0
}

/** Writes a list as field `number` into room that was reserved; nothing when it is empty. */
export function writeList (writer: ByteWriter, number: number, schema: AnySchema, items: readonly object[]): void {
  if (items.length === 0) return
  const start = writer.position
  writer.position += WORD
  for (let index = 0; index < items.length; index++) {
    const at = writer.position
    writer.position += WORD
    writeFields(writer, schema, items[index] as object)
    // Items are never dropped. Their numbers wrap, and readers ignore them.
    putHeader(writer.view, at, index & 0xffff, Kind.Struct, writer.position - at)
  }
  putHeader(writer.view, start, number, Kind.Structs, writer.position - start)
}

/** Seven fields to a byte; the top bit says that another byte follows. */
function writeIsSet (writer: ByteWriter, schema: AnySchema, value: object, byteCount: number): void {
  const { bytes, position: at } = writer
  bytes.fill(0, at, at + byteCount)
  schema.fields.forEach((field, number) => {
    const byte = at + Math.floor(number / 7)
    const content = (value as AnyValue)[field.name]
    if (number % 7 === 0 && number > 0) bytes[byte - 1] = (bytes[byte - 1] as number) | 0x80
    if (content !== undefined && sizeOfField(field, content) > 0) bytes[byte] = (bytes[byte] as number) | 1 << number % 7
  })
  writer.position = at + byteCount
}
