/**
 * The four kinds of handler. Each is a function and its kind; everything else about a call is in the
 * context and the stream that the function is given.
 */
import type { HandlerContext, OpenContext } from '../../types/handler-context.js'
import type { BiDirStream, RecvStream, SendStream } from './streams.js'
import type { Metadata, MetadataInit } from '../metadata.js'
import { RpcType } from '../wire/message.js'

/** What may be said about a handler of any kind. */
export interface HandlerOptions {
  /**
   * Response headers: metadata that go to the caller at once, in the answer to its Open; a caller's stream
   * has them as `headers`, a synchronous caller does not see them. At most 16 KiB. Called once for each
   * session, before interceptors and handler, and not asynchronous. When it throws the Open is refused: with
   * an RpcError as it says, with anything else as Internal.
   */
  headers?: (context: OpenContext) => MetadataInit
}

/** Handles synchronous RPCs: one request, one answer. */
export class SyncHandler {
  readonly type = RpcType.Synchronous
  /**
   * @param handle gets the request's bytes (its own) and metadata and answers with bytes, which must not
   * be changed afterwards; what it throws is the outcome of the call.
   */
  readonly handle: (context: HandlerContext, request: Uint8Array, metadata: Metadata) => Uint8Array | Promise<Uint8Array>
  /** See {@link HandlerOptions}. */
  readonly headers: HandlerOptions['headers']

  constructor (handle: SyncHandler['handle'], { headers }: HandlerOptions = {}) {
    this.handle = handle
    this.headers = headers
  }
}

/** Handles RPCs in which both sides stream. */
export class BiDirHandler {
  readonly type = RpcType.BiDirectional
  /** @param handle the stream ends when it returns or throws. */
  readonly handle: (context: HandlerContext, stream: BiDirStream) => Promise<void>
  /** See {@link HandlerOptions}. */
  readonly headers: HandlerOptions['headers']

  constructor (handle: BiDirHandler['handle'], { headers }: HandlerOptions = {}) {
    this.handle = handle
    this.headers = headers
  }
}

/** Handles RPCs in which the client streams and the server answers at most once. */
export class SendHandler {
  readonly type = RpcType.Send
  /** @param handle may return bytes: they are the answer. */
  readonly handle: (context: HandlerContext, stream: RecvStream) => Promise<Uint8Array | void>
  /** See {@link HandlerOptions}. */
  readonly headers: HandlerOptions['headers']

  constructor (handle: SendHandler['handle'], { headers }: HandlerOptions = {}) {
    this.handle = handle
    this.headers = headers
  }
}

/** Handles RPCs in which the server streams (the client receives). */
export class RecvHandler {
  readonly type = RpcType.Recv
  /** @param handle the stream ends when it returns or throws. */
  readonly handle: (context: HandlerContext, stream: SendStream) => Promise<void>
  /** See {@link HandlerOptions}. */
  readonly headers: HandlerOptions['headers']

  constructor (handle: RecvHandler['handle'], { headers }: HandlerOptions = {}) {
    this.handle = handle
    this.headers = headers
  }
}

/** Any of the four, told apart by `type`. */
export type Handler = SyncHandler | BiDirHandler | SendHandler | RecvHandler
