/**
 * The four kinds of handler. Each is a function and its kind; everything else about a call is in the
 * context and the stream that the function is given.
 */
import type { HandlerContext } from '../../types/handler-context.js'
import type { BiDirStream, RecvStream, SendStream } from './streams.js'
import type { Metadata } from '../metadata.js'
import { RpcType } from '../wire/message.js'

/** Handles synchronous RPCs: one request, one answer. */
export class SyncHandler {
  readonly type = RpcType.Synchronous
  /**
   * @param handle gets the request's bytes (its own) and metadata and answers with bytes, which must not
   * be changed afterwards; what it throws is the outcome of the call.
   */
  readonly handle: (context: HandlerContext, request: Uint8Array, metadata: Metadata) => Uint8Array | Promise<Uint8Array>

  constructor (handle: SyncHandler['handle']) { this.handle = handle }
}

/** Handles RPCs in which both sides stream. */
export class BiDirHandler {
  readonly type = RpcType.BiDirectional
  /** @param handle the stream ends when it returns or throws. */
  readonly handle: (context: HandlerContext, stream: BiDirStream) => Promise<void>

  constructor (handle: BiDirHandler['handle']) { this.handle = handle }
}

/** Handles RPCs in which the client streams and the server answers at most once. */
export class SendHandler {
  readonly type = RpcType.Send
  /** @param handle may return bytes: they are the answer. */
  readonly handle: (context: HandlerContext, stream: RecvStream) => Promise<Uint8Array | void>

  constructor (handle: SendHandler['handle']) { this.handle = handle }
}

/** Handles RPCs in which the server streams (the client receives). */
export class RecvHandler {
  readonly type = RpcType.Recv
  /** @param handle the stream ends when it returns or throws. */
  readonly handle: (context: HandlerContext, stream: SendStream) => Promise<void>

  constructor (handle: RecvHandler['handle']) { this.handle = handle }
}

/** Any of the four, told apart by `type`. */
export type Handler = SyncHandler | BiDirHandler | SendHandler | RecvHandler
