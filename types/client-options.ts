/** What callers may say: about a connection, about a call. */
import type { Metadata, MetadataInit } from '../lib/metadata.js'
import type { Compressor } from './compressor.js'
import type { StreamIO } from './stream.js'

/** Options of `connect`. */
export interface ClientOptions {
  /** Compression of what the client sends: the wire's number of a format in `compressors`; 0 for none. */
  compression?: number
  /** Payloads below this many bytes are not compressed (1024). */
  compressionMinBytes?: number
  /** The formats this client understands; none by default, so that a page loads only what it needs. */
  compressors?: readonly Compressor[]
  /** Largest message accepted, bytes, decompressed (4 MiB). */
  maxRecvMsgSize?: number
  /** Largest message sent, bytes (4 MiB). */
  maxSendMsgSize?: number
  /** Most metadata sent with a call, and accepted beside a message (there at most 16 KiB, of a 1.1 server), bytes (64 KiB, the server's default). */
  maxMetadataBytes?: number
  /** Credit granted to the server on each session, bytes (256 KiB). */
  windowBytes?: number
  /** What that credit may grow to while the reader keeps up, bytes (4 MiB). */
  maxWindowBytes?: number
  /** What one session may hold unsent, bytes, before further sends fail (4 MiB). */
  sendBufferBytes?: number
  /** Asks the server to pack: for payloads with many zero bytes. Never ask a Go server. */
  packing?: boolean
  /** How long an Open may stay unanswered, milliseconds (30,000). */
  openTimeoutMs?: number
  /** The server is asked for a sign of life after this much silence, milliseconds (30,000); 0 never. */
  keepAliveIntervalMs?: number
  /** How long that sign may take, milliseconds (10,000). */
  keepAliveTimeoutMs?: number
  /** Highest minor version of the protocol spoken (1). */
  minorVersion?: 0 | 1
  /** Interceptors of synchronous calls, outermost first. */
  unaryInterceptors?: readonly UnaryClientInterceptor[]
  /** Interceptors of streams, outermost first. */
  streamInterceptors?: readonly StreamClientInterceptor[]
}

/** Options of `connect(url)`. */
export interface ConnectOptions extends ClientOptions {
  /** A WebSocket class, where there is no global one (Node 20): that of the package `ws`. */
  WebSocket?: WebSocketClass
  /** Given to the WebSocket class as its third argument; `ws` takes headers, an agent and more there. */
  webSocketOptions?: unknown
  /** How long the connection may take to open, milliseconds (30,000). */
  connectTimeoutMs?: number
  /** Gives the attempt up when it aborts. Has no meaning afterwards. */
  signal?: AbortSignal
}

/** What makes a WebSocket: the global class of browsers, or that of `ws`. */
export type WebSocketClass = new (url: string, protocols?: string | string[], options?: never) => object

/** Options of one call. */
export interface CallOptions {
  /** Cancels the call when it aborts: it fails with Canceled and the handler's signal aborts. */
  signal?: AbortSignal
  /** Milliseconds until the call fails with DeadlineExceeded; the server keeps the same time. */
  timeoutMs?: number
  /** Sent to the handler with the call. */
  metadata?: MetadataInit
}

/** Names of an RPC. */
export interface RpcName {
  readonly package: string
  readonly service: string
  readonly call: string
}

/** A synchronous call on its way to the server. */
export interface UnaryClientCall extends RpcName {
  /** Its RpcType: Synchronous. */
  readonly type: number
  readonly request: Uint8Array
  readonly options: CallOptions
}

/** The answer to a synchronous call, with what stood beside its bytes. */
export interface UnaryAnswer {
  readonly payload: Uint8Array
  /** The request's response metadata. */
  readonly metadata: Metadata
  /** The response headers of the session, which calls share: what the handler's option `headers` gave when it was opened. */
  readonly headers: Metadata
}

/** Wraps synchronous calls: may change the request and its options, the answer, retry or refuse. */
export type UnaryClientInterceptor =
  (call: UnaryClientCall, next: (call: UnaryClientCall) => Promise<UnaryAnswer>) => Promise<UnaryAnswer>

/** The functions behind a caller's stream, which an interceptor may stand between. */
export type ClientStreamIO = Pick<StreamIO, 'send' | 'recv' | 'messages'>

/**
 * Replaces functions of a caller's stream: gets them as the interceptors further in have left them, answers those that are
 * to be others. Its `send` is asked for one message at a time, in the order in which they were sent, and may wait.
 */
export type ClientStreamWrapper = (io: ClientStreamIO) => Partial<ClientStreamIO>

/** A stream about to be opened. */
export interface StreamClientCall extends RpcName {
  /** Its RpcType. */
  readonly type: number
  readonly options: CallOptions
  /** What the messages will pass, the outermost first: all that was given to `wrap` on the way here. A copy of the call keeps it. */
  readonly wrappers: readonly ClientStreamWrapper[]
  /**
   * The same call, its messages passing one more wrapper, inside those before: for `next`. What the caller says (also what it
   * has said already) passes the outermost first, what arrives passes it last.
   */
  wrap (wrapper: ClientStreamWrapper): StreamClientCall
}

/**
 * Wraps streams from opening to end: resolves (or throws) when the stream is over. May change the options, wrap
 * what is sent and received, wait, or refuse by an error. The caller holds its stream already: what it sends waits until the
 * innermost opens it, once. Signal and timeout of the options count from then on.
 */
export type StreamClientInterceptor = (call: StreamClientCall, next: (call: StreamClientCall) => Promise<void>) => Promise<void>
