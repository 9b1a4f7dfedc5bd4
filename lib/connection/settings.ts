/** What a connection needs to know of the options; both roles make it from their own option tables. */
import type { CompressorRegistry } from '../compression/registry.js'

export interface ConnectionSettings {
  /** Highest minor version spoken: 1, or 0 to behave as a 1.0 peer. */
  readonly minor: 0 | 1
  /** Largest message accepted, bytes, decompressed. */
  readonly maxRecvMsgSize: number
  /** Largest message sent, bytes, before compression. */
  readonly maxSendMsgSize: number
  /** Most metadata accepted in one message, bytes of keys and values. */
  readonly maxMetadataBytes: number
  /** Credit granted to the peer on each session, bytes. */
  readonly windowBytes: number
  /** What that credit may grow to while the application keeps up, bytes. */
  readonly maxWindowBytes: number
  /** What one session may hold unsent beyond one message, bytes. */
  readonly sendBufferBytes: number
  /** What is held unread for a 1.0 peer before its transport is paused, bytes. */
  readonly recvBufferBytes: number
  /** Messages larger than the window that may be put together at a time. */
  readonly reassemblyPlaces: number
  /** A peer that takes nothing for this long is given up, milliseconds. */
  readonly stallTimeoutMs: number
  /** An unfinished message must go on within this time, milliseconds. */
  readonly messageTimeoutMs: number
  /** Compressor for outgoing payloads, 0 for none. */
  readonly compression: number
  /** Smaller payloads are not compressed, bytes. */
  readonly compressionMinBytes: number
  readonly compressors: CompressorRegistry
}
