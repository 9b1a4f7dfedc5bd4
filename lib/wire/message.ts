/**
 * The messages of the wire as values (protocol 1.0, section 2.5; 1.1, section 2). Field names are those of
 * the specification with a small first letter. Every class sets all its fields, so that each message type
 * has one hidden class; a field at its zero value is the same as a field that is absent.
 */
import { NO_METADATA } from '../metadata.js'
import type { MetadataEntry } from '../metadata.js'

/** The major version both peers must share. */
export const PROTOCOL_MAJOR = 1
/** The highest minor version this package speaks; 0 is understood. */
export const PROTOCOL_MINOR = 1

/** The type field of a message. */
export const MsgType = {
  Open: 1,
  OpenAck: 2,
  Close: 3,
  Payload: 4,
  Cancel: 5,
  Ping: 6,
  Pong: 7,
  GoAway: 8,
  WindowUpdate: 9
} as const
export type MsgType = typeof MsgType[keyof typeof MsgType]

/** The kind of an RPC, seen from the client: it sends, it receives, both, or one request for one answer. */
export const RpcType = {
  /** One request, one answer. */
  Synchronous: 1,
  /** The client streams, the server answers once. */
  Send: 2,
  /** The server streams. */
  Recv: 3,
  /** Both stream. */
  BiDirectional: 4
} as const
export type RpcType = typeof RpcType[keyof typeof RpcType]

/** How the bytes of one payload are compressed. */
export const Compression = { None: 0, Gzip: 1, Snappy: 2, Zstd: 3 } as const
export type Compression = typeof Compression[keyof typeof Compression]

/** Stands for every absent bytes field; never written to. */
export const NO_BYTES = new Uint8Array(0)

/** Names one RPC: package, service, call and kind. */
export class Descr {
  package = ''
  service = ''
  call = ''
  /** An RpcType; any number may come from a peer. */
  type = 0
}

export class Open {
  readonly type = MsgType.Open
  openID = 0
  descr = new Descr()
  protocolMajor = 0
  protocolMinor = 0
  /** Milliseconds from arrival; 0n: none. */
  deadlineMS = 0n
  maxPayloadSize = 0
  traceID: Uint8Array = NO_BYTES
  spanID: Uint8Array = NO_BYTES
  metadata: readonly MetadataEntry[] = NO_METADATA
  packing = false
  /** 1.1: the session's first payload; presence counts, undefined means absent. */
  first: Payload | undefined = undefined
  /** 1.1: credit in bytes that the client grants the server. */
  window = 0
}

export class OpenAck {
  readonly type = MsgType.OpenAck
  openID = 0
  sessionID = 0
  protocolMajor = 0
  protocolMinor = 0
  maxPayloadSize = 0
  errCode = 0
  error = ''
  metadata: readonly MetadataEntry[] = NO_METADATA
  packing = false
  /** 1.1: credit in bytes that the server grants the client. */
  window = 0
}

export class Close {
  readonly type = MsgType.Close
  sessionID = 0
  errCode = 0
  error = ''
  metadata: readonly MetadataEntry[] = NO_METADATA
}

export class Payload {
  readonly type = MsgType.Payload
  sessionID = 0
  reqID = 0
  /** A view into what the transport delivered when decoded; as given when it is to be sent. */
  payload: Uint8Array = NO_BYTES
  endStream = false
  /** A Compression; any number may come from a peer. */
  compression = 0
  metadata: readonly MetadataEntry[] = NO_METADATA
  /** 1.1, synchronous answers: the request failed. */
  errCode = 0
  error = ''
  /** 1.1: this request's own deadline, milliseconds from arrival; 0n: none. */
  deadlineMS = 0n
  /** 1.1: the message goes on in the next Payload of the same session and request. */
  more = false
}

export class Cancel {
  readonly type = MsgType.Cancel
  sessionID = 0
  reqID = 0
}

export class Ping {
  readonly type = MsgType.Ping
  id = 0
}

export class Pong {
  readonly type = MsgType.Pong
  id = 0
}

export class GoAway {
  readonly type = MsgType.GoAway
  lastSessionID = 0
  errCode = 0
  debugData = ''
}

/** 1.1: more credit for one session. */
export class WindowUpdate {
  readonly type = MsgType.WindowUpdate
  sessionID = 0
  bytes = 0
}

/** A message of a type this version does not know (0: none set). Both sides ignore it. */
export class UnknownMessage {
  readonly type = 0
  /** The type number that stood there. */
  typeNumber = 0
}

/** Any message, told apart by `type`. */
export type Message = Open | OpenAck | Close | Payload | Cancel | Ping | Pong | GoAway | WindowUpdate | UnknownMessage
