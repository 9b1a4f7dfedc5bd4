/**
 * The tables of the messages (protocol 1.0, section 2.5; 1.1, section 2). The number of a field is its place
 * in the list: append, never reorder. How a table is read and written is in struct-reader.ts and
 * struct-writer.ts.
 */
import type { MetadataEntry } from '../metadata.js'
import { Cancel, Close, Descr, GoAway, NO_BYTES, Open, OpenAck, Payload, Ping, Pong, WindowUpdate } from './message.js'
import { Kind } from './struct.js'
import type { Schema } from './struct.js'

/** One pair of metadata. */
export const METADATA_ENTRY: Schema<MetadataEntry> = {
  name: 'Metadata',
  create: () => ({ key: '', value: NO_BYTES }),
  fields: [
    { name: 'key', kind: Kind.String },
    { name: 'value', kind: Kind.Bytes }
  ]
}

const DESCR: Schema<Descr> = {
  name: 'Descr',
  create: () => new Descr(),
  fields: [
    { name: 'package', kind: Kind.String },
    { name: 'service', kind: Kind.String },
    { name: 'call', kind: Kind.String },
    { name: 'type', kind: Kind.U8 }
  ]
}

/** Field 5 of a Payload; encode.ts writes it by hand. */
export const PAYLOAD_METADATA = 5

export const PAYLOAD: Schema<Payload> = {
  name: 'Payload',
  create: () => new Payload(),
  fields: [
    { name: 'sessionID', kind: Kind.U32 },
    { name: 'reqID', kind: Kind.U32 },
    { name: 'payload', kind: Kind.Bytes },
    { name: 'endStream', kind: Kind.Bool },
    { name: 'compression', kind: Kind.U8 },
    { name: 'metadata', kind: Kind.Structs, schema: METADATA_ENTRY },
    { name: 'errCode', kind: Kind.U16 },
    { name: 'error', kind: Kind.String },
    { name: 'deadlineMS', kind: Kind.U64 },
    { name: 'more', kind: Kind.Bool }
  ]
}

export const OPEN: Schema<Open> = {
  name: 'Open',
  create: () => new Open(),
  fields: [
    { name: 'openID', kind: Kind.U32 },
    // Kept when empty: an Open without Descr ends a Go server (defect D1).
    { name: 'descr', kind: Kind.Struct, schema: DESCR, keepEmpty: true },
    { name: 'protocolMajor', kind: Kind.U8 },
    { name: 'protocolMinor', kind: Kind.U8 },
    { name: 'deadlineMS', kind: Kind.U64 },
    { name: 'maxPayloadSize', kind: Kind.U32 },
    { name: 'traceID', kind: Kind.Bytes },
    { name: 'spanID', kind: Kind.Bytes },
    { name: 'metadata', kind: Kind.Structs, schema: METADATA_ENTRY },
    { name: 'packing', kind: Kind.Bool },
    { name: 'first', kind: Kind.Struct, schema: PAYLOAD, keepEmpty: true },
    { name: 'window', kind: Kind.U32 }
  ]
}

export const OPEN_ACK: Schema<OpenAck> = {
  name: 'OpenAck',
  create: () => new OpenAck(),
  fields: [
    { name: 'openID', kind: Kind.U32 },
    { name: 'sessionID', kind: Kind.U32 },
    { name: 'protocolMajor', kind: Kind.U8 },
    { name: 'protocolMinor', kind: Kind.U8 },
    { name: 'maxPayloadSize', kind: Kind.U32 },
    { name: 'errCode', kind: Kind.U16 },
    { name: 'error', kind: Kind.String },
    { name: 'metadata', kind: Kind.Structs, schema: METADATA_ENTRY },
    { name: 'packing', kind: Kind.Bool },
    { name: 'window', kind: Kind.U32 }
  ]
}

export const CLOSE: Schema<Close> = {
  name: 'Close',
  create: () => new Close(),
  fields: [
    { name: 'sessionID', kind: Kind.U32 },
    { name: 'errCode', kind: Kind.U16 },
    { name: 'error', kind: Kind.String },
    { name: 'metadata', kind: Kind.Structs, schema: METADATA_ENTRY }
  ]
}

export const CANCEL: Schema<Cancel> = {
  name: 'Cancel',
  create: () => new Cancel(),
  fields: [
    { name: 'sessionID', kind: Kind.U32 },
    { name: 'reqID', kind: Kind.U32 }
  ]
}

export const PING: Schema<Ping> = { name: 'Ping', create: () => new Ping(), fields: [{ name: 'id', kind: Kind.U32 }] }

export const PONG: Schema<Pong> = { name: 'Pong', create: () => new Pong(), fields: [{ name: 'id', kind: Kind.U32 }] }

export const GO_AWAY: Schema<GoAway> = {
  name: 'GoAway',
  create: () => new GoAway(),
  fields: [
    { name: 'lastSessionID', kind: Kind.U32 },
    { name: 'errCode', kind: Kind.U16 },
    { name: 'debugData', kind: Kind.String }
  ]
}

export const WINDOW_UPDATE: Schema<WindowUpdate> = {
  name: 'WindowUpdate',
  create: () => new WindowUpdate(),
  fields: [
    { name: 'sessionID', kind: Kind.U32 },
    { name: 'bytes', kind: Kind.U32 }
  ]
}

/** The root of every frame: a type and, under the field number of the same value, the body. */
export class Envelope {
  type = 0
  open: Open | undefined = undefined
  openAck: OpenAck | undefined = undefined
  close: Close | undefined = undefined
  payload: Payload | undefined = undefined
  cancel: Cancel | undefined = undefined
  ping: Ping | undefined = undefined
  pong: Pong | undefined = undefined
  goAway: GoAway | undefined = undefined
  windowUpdate: WindowUpdate | undefined = undefined
}

/**
 * Bodies are kept when they are empty: reading a message without body ends a Go server (defects D1, D2).
 * At most 14 fields: the third byte of the IsSet word must stay 0 (section 2.4).
 */
export const MSG: Schema<Envelope> = {
  name: 'Msg',
  create: () => new Envelope(),
  isSet: true,
  fields: [
    { name: 'type', kind: Kind.U8 },
    { name: 'open', kind: Kind.Struct, schema: OPEN, keepEmpty: true },
    { name: 'openAck', kind: Kind.Struct, schema: OPEN_ACK, keepEmpty: true },
    { name: 'close', kind: Kind.Struct, schema: CLOSE, keepEmpty: true },
    { name: 'payload', kind: Kind.Struct, schema: PAYLOAD, keepEmpty: true },
    { name: 'cancel', kind: Kind.Struct, schema: CANCEL, keepEmpty: true },
    { name: 'ping', kind: Kind.Struct, schema: PING, keepEmpty: true },
    { name: 'pong', kind: Kind.Struct, schema: PONG, keepEmpty: true },
    { name: 'goAway', kind: Kind.Struct, schema: GO_AWAY, keepEmpty: true },
    { name: 'windowUpdate', kind: Kind.Struct, schema: WINDOW_UPDATE, keepEmpty: true }
  ]
}
