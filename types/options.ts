/** The options of the engine and of the plugin. Defaults, bounds and units: lib/options.ts and docs/options.md. */
import type { FastifyRequest } from 'fastify'
import type { Compressor } from './compressor.js'
import type { HandlerContext } from './handler-context.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from './interceptor.js'

/** Options of `new Server(options)`. */
export interface ServerOptions {
  /** Compression of what the server sends, where it makes a payload smaller. */
  compression?: 'none' | 'gzip' | 'snappy' | 'zstd'
  /** Payloads below this many bytes are not compressed. */
  compressionMinBytes?: number
  /** Further compression formats, or replacements of the built-in ones. */
  compressors?: readonly Compressor[]
  /** Handlers that may run at a time in this server, 0 for no limit; further calls wait in order. */
  maxConcurrentRPCs?: number
  /** Calls that may wait for a place; the next is refused. */
  maxQueuedRPCs?: number
  /** Connections at a time, 0 for no limit; the next is refused. */
  maxConnections?: number
  /** Sessions at a time on one connection, 0 for no limit. */
  maxSessionsPerConnection?: number
  /** Synchronous requests of one connection that may run at a time; more wait. */
  maxRequestsPerConnection?: number
  /** Largest message accepted, bytes, decompressed. */
  maxRecvMsgSize?: number
  /** Largest message sent, bytes. */
  maxSendMsgSize?: number
  /** Most metadata of an Open, bytes. */
  maxMetadataBytes?: number
  /** Whether packing is granted to clients that ask for it. */
  packing?: boolean
  /** Interceptors of synchronous RPCs, outermost first. */
  unaryInterceptors?: readonly UnaryServerInterceptor[]
  /** Interceptors of streams, outermost first. */
  streamInterceptors?: readonly StreamServerInterceptor[]
  /** Credit granted to the peer on each session, bytes. */
  windowBytes?: number
  /** What that credit may grow to while the handler keeps up, bytes. */
  maxWindowBytes?: number
  /** What one session may hold unsent, bytes, before further sends fail. */
  sendBufferBytes?: number
  /** What one connection of a 1.0 peer may hold unread, bytes, before its transport is paused. */
  recvBufferBytes?: number
  /** Messages larger than their window that one connection may put together at a time; one of them is for calls whose handler runs. */
  reassemblyPlaces?: number
  /** Longest time a call may take, milliseconds, whatever the client asks for; 0 for no cap. */
  maxDeadlineMs?: number
  /** A connection that opens no session in this time is closed, milliseconds; 0 never. */
  handshakeTimeoutMs?: number
  /** A connection on which nothing has run for this long is closed, milliseconds; 0 never. */
  idleTimeoutMs?: number
  /** A peer that is silent for this long is asked for a sign of life, milliseconds; 0 never. */
  keepAliveIntervalMs?: number
  /** How long that sign may take, milliseconds. */
  keepAliveTimeoutMs?: number
  /** A peer that takes nothing for this long loses its session or connection, milliseconds. */
  stallTimeoutMs?: number
  /** The next chunk of an unfinished message must come in this time, milliseconds. */
  messageTimeoutMs?: number
  /** Whether each completed call is logged, at the level Fastify logs requests at. */
  logCalls?: boolean
  /** Highest minor version of the protocol spoken; 0 makes the server a 1.0 server. */
  minorVersion?: 0 | 1
}

/** Options of `app.register(rpc, options)`. */
export interface RpcPluginOptions extends ServerOptions {
  /** URL of the WebSocket route. */
  path?: string
  /** How long `app.close()` may take for RPCs, milliseconds; those that still run shortly before are ended. */
  shutdownTimeoutMs?: number
  /**
   * Origins (`https://example.org`) that browsers may connect from, beside the server's own; `'*'` for all; or
   * a function that decides. Requests without an Origin come from no browser and pass.
   */
  allowedOrigins?: '*' | readonly string[] | ((origin: string, request: FastifyRequest) => boolean | Promise<boolean>)
  /** Whether the health service (`health/Health/Check`) is registered. */
  health?: boolean
  /** Whether the reflection service is registered; a function says, at every call, who may look. */
  reflection?: boolean | ((context: HandlerContext) => boolean | Promise<boolean>)
  /** Name of the decorator; another one for a second instance on the same app. */
  decorator?: string
}
