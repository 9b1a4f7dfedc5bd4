/**
 * The reading half of the table-driven codec (protocol 1.0, section 2.6). It owns what is tolerated of a
 * peer: unknown numbers, any order, duplicates (the last one wins), explicit zeros, a struct ended by a word
 * of type 0. Everything else that is not as section 2 says is a ProtocolError: no read leaves its struct, and
 * every step moves forward by at least a word. How deep it nests is bounded by the schema.
 */
import { ByteReader } from './byte-reader.js'
import { malformed } from './malformed.js'
import { Kind, WORD, padded } from './struct.js'
import type { AnyField, AnySchema, AnyValue, Schema } from './struct.js'
import { readUtf8 } from './text.js'

/**
 * Reads one root struct that fills the range exactly. Bytes fields of the value are views of `bytes`.
 * @throws ProtocolError (`CLAW_ERR_MALFORMED`)
 */
export function decodeStruct<T extends object> (schema: Schema<T>, bytes: Uint8Array, start = 0, end = bytes.length): T {
  return readRoot(new ByteReader(bytes.subarray(start, end)), schema, 0, end - start)
}

/** The same on bound bytes. */
export function readRoot<T extends object> (reader: ByteReader, schema: Schema<T>, start: number, end: number): T {
  if (end - start < WORD) throw malformed(`${schema.name} in less than ${WORD} bytes`)
  // The number in a root header is not looked at, as in Go.
  const size = structSize(typeOf(reader, start), dataOf(reader, start), schema.name)
  if (size !== end - start) throw malformed(`${schema.name} of ${size} bytes in ${end - start} bytes`)
  return readFields(reader, schema, start + WORD, end) as T
}

function readFields (reader: ByteReader, schema: AnySchema, start: number, end: number): object {
  const value = schema.create()
  let size = 0
  for (let at = start; at < end; at += size) {
    size = readFieldInto(reader, schema, value, at, end)
    if (size === 0) break
  }
  return value
}

/**
 * Reads the field at `at` into its place in the value, or skips it when the schema has no such number.
 * @param end where the struct ends; a whole number of words away
 * @returns the field's size, or 0 where a word of type 0 ends the struct
 */
export function readFieldInto (reader: ByteReader, schema: AnySchema, value: object, at: number, end: number): number {
  const type = typeOf(reader, at)
  if (type === 0) return 0
  const size = sizeOnWire(type, dataOf(reader, at))
  if (size < WORD || size % WORD !== 0) throw malformed(`field of ${size} bytes in ${schema.name}`)
  if (size > end - at) throw malformed(`field of ${size} bytes in the last ${end - at} bytes of ${schema.name}`)
  const field = schema.fields[reader.view.getUint16(at, true)]
  if (field !== undefined) (value as AnyValue)[field.name] = readField(reader, schema, field, type, at, size)
  return size
}

function readField (reader: ByteReader, schema: AnySchema, field: AnyField, type: number, at: number, size: number): unknown {
  const { kind } = field
  if (type !== kind && !(isBytes(type) && isBytes(kind))) {
    throw malformed(`field ${schema.name}.${field.name} has type code ${type}, not ${kind}`)
  }
  switch (kind) {
    case Kind.Bool: return dataOf(reader, at) !== 0
    // Values wider than their field are cut, as in Go.
    case Kind.U8: return reader.view.getUint8(at + 3)
    case Kind.U16: return reader.view.getUint16(at + 3, true)
    case Kind.U32: return reader.view.getUint32(at + 3, true)
    case Kind.U64: return reader.view.getBigUint64(at + WORD, true)
    case Kind.String: return readUtf8(reader.bytes, at + WORD, dataOf(reader, at))
    case Kind.Bytes: return reader.slice(at + WORD, dataOf(reader, at))
    case Kind.Struct: return readFields(reader, field.schema as AnySchema, at + WORD, at + size)
    case Kind.Structs: return readItems(reader, field.schema as AnySchema, at + WORD, at + size)
  }
}

/** There is no count: items run to the end of the list. Their numbers are not looked at, as in Go. */
function readItems (reader: ByteReader, schema: AnySchema, start: number, end: number): object[] {
  const items: object[] = []
  for (let at = start; at < end;) {
    const size = structSize(typeOf(reader, at), dataOf(reader, at), schema.name)
    if (size > end - at) throw malformed(`${schema.name} of ${size} bytes in the last ${end - at} bytes of its list`)
    items.push(readFields(reader, schema, at + WORD, at + size))
    at += size
  }
  return items
}

function typeOf (reader: ByteReader, at: number): number {
  return reader.view.getUint8(at + 2)
}

/** The 40 data bits of a header. */
function dataOf (reader: ByteReader, at: number): number {
  return reader.view.getUint8(at + 3) + reader.view.getUint32(at + 4, true) * 0x100
}

function isBytes (type: number): boolean {
  return type === Kind.String || type === Kind.Bytes
}

function structSize (type: number, size: number, name: string): number {
  if (type !== Kind.Struct) throw malformed(`${name} begins with type code ${type}`)
  if (size < WORD || size % WORD !== 0) throw malformed(`${name} of ${size} bytes`)
  return size
}

/**
 * The size of any field with its header, also of those no schema of ours has: only so can a peer of a later
 * minor version add some (section 2.7). Lists of any (56) would have to be walked; no message has one, so
 * they count as unknown.
 */
function sizeOnWire (type: number, data: number): number {
  switch (type) {
    case 1: case 2: case 3: case 4: case 6: case 7: case 8: case 10: return WORD // up to 32 bits, in the header
    case 5: case 9: case 11: return 2 * WORD // 64 bits
    case 12: case 13: return WORD + padded(data) // string, bytes
    case 14: return data // struct
    case 15: return WORD + Math.floor(data / 0x100) // any
    case 41: return WORD + padded(Math.ceil(data / 8)) // list of bools: data is their count
    case 55: return Math.floor(data / 0x10000) // map
    default: return type >= 42 && type <= 54 ? data : Math.max(WORD, data) // lists; type codes still to come
  }
}
