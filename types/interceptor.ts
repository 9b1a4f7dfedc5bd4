/**
 * Interceptors: functions around a call, for what every RPC needs and no handler should repeat. The first
 * registered is the outermost; each calls `next` to go on, or throws an RpcError to refuse.
 */
import type { HandlerContext } from './handler-context.js'
import type { Metadata } from '../lib/metadata.js'
import type { HandlerStream } from './handler-stream.js'

/** A synchronous request on its way to its handler. */
export interface UnaryServerCall {
  /** Names, kind, session, metadata, signal, log; `setTrailer` sets metadata of the answer. */
  readonly context: HandlerContext
  /** The request's bytes, decompressed. */
  readonly request: Uint8Array
  readonly metadata: Metadata
}

/** Wraps synchronous requests: may change the request (`next({ ...call, request })`), the answer, or refuse. */
export type UnaryServerInterceptor =
  (call: UnaryServerCall, next: (call: UnaryServerCall) => Promise<Uint8Array>) => Promise<Uint8Array>

/** A stream on its way to its handler; of which kind `context.type` says. */
export interface StreamServerCall {
  readonly context: HandlerContext
  /** What the handler will hold; replace it with `stream.wrap({ send, recv })` to stand between. */
  readonly stream: HandlerStream
}

/** Wraps streams, from before the handler starts to after it ended. Resolves with a SendHandler's answer, if it has one. */
export type StreamServerInterceptor =
  (call: StreamServerCall, next: (call: StreamServerCall) => Promise<Uint8Array | void>) => Promise<Uint8Array | void>
