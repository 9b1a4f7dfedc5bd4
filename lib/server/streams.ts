/**
 * The three streams that handlers hold. Each shows the context, what arrived and what may be sent; the
 * work is done by the two halves behind StreamIO, so that an interceptor can stand between.
 */
import type { HandlerContext } from '../../types/handler-context.js'
import type { Metadata, MetadataInit } from '../metadata.js'
import type { RpcError } from '../errors.js'
import type { HandlerStream as StreamView } from '../../types/handler-stream.js'
import type { MessageOptions, ReceivedMessage, StreamIO } from '../../types/stream.js'

/** What all streams share. */
abstract class HandlerStream implements StreamView {
  /** The context of the call. */
  readonly context: HandlerContext
  /** The functions behind the stream, for interceptors. */
  readonly io: StreamIO

  constructor (context: HandlerContext, io: StreamIO) {
    this.context = context
    this.io = io
  }

  abstract wrap (io: Partial<StreamIO>): HandlerStream

  /** The error that ended the stream (cancel, deadline, lost connection, fault of the peer); undefined while it runs and after a good end. */
  get err (): RpcError | undefined { return this.io.err }

  /** Metadata for the Close that ends the stream. May be called more than once: later keys replace earlier ones. */
  setTrailer (metadata: MetadataInit): void { this.context.setTrailer(metadata) }

  /** What setTrailer has gathered. */
  get trailer (): Metadata { return this.context.trailer }
}

/** Both sides stream: what a BiDirHandler holds. */
export class BiDirStream extends HandlerStream {
  /**
   * Messages of the client in order. After a cancel (or deadline, or a lost connection) what was buffered
   * is still yielded, then the iteration throws the reason. Leaving the loop early leaves the rest to the
   * next call of `recv`. The bytes are the handler's own; see {@link ReceivedMessage} on keeping them.
   */
  recv (): AsyncIterableIterator<Uint8Array> { return this.io.recv() }

  /** Like `recv`, with the metadata of each message. */
  messages (): AsyncIterableIterator<ReceivedMessage> { return this.io.messages() }

  /**
   * Sends a message. Resolves when it was written, which may wait for the peer to take earlier ones: await
   * it, and memory stays bounded. Do not change the bytes before that.
   * @throws RpcError with the reason after the stream has ended; ResourceExhausted for a message beyond
   * `maxSendMsgSize` or the peer's maximum, or when too much waits already.
   */
  send (bytes: Uint8Array, options?: MessageOptions): Promise<void> { return this.io.send(bytes, options) }

  /** The same stream with some of its functions replaced; for interceptors. */
  override wrap (io: Partial<StreamIO>): BiDirStream { return new BiDirStream(this.context, overlay(this.io, io)) }
}

/** The server streams: what a RecvHandler holds (the client receives). */
export class SendStream extends HandlerStream {
  /** See {@link BiDirStream.send}. */
  send (bytes: Uint8Array, options?: MessageOptions): Promise<void> { return this.io.send(bytes, options) }

  /** The one message the client may send with the call; empty when it sent none. */
  request (): Promise<Uint8Array> { return this.io.request() }

  /** The same stream with some of its functions replaced; for interceptors. */
  override wrap (io: Partial<StreamIO>): SendStream { return new SendStream(this.context, overlay(this.io, io)) }
}

/** The client streams: what a SendHandler holds (the server receives). */
export class RecvStream extends HandlerStream {
  /** See {@link BiDirStream.recv}. */
  recv (): AsyncIterableIterator<Uint8Array> { return this.io.recv() }

  /** Like `recv`, with the metadata of each message. */
  messages (): AsyncIterableIterator<ReceivedMessage> { return this.io.messages() }

  /** The same stream with some of its functions replaced; for interceptors. */
  override wrap (io: Partial<StreamIO>): RecvStream { return new RecvStream(this.context, overlay(this.io, io)) }
}

function overlay (io: StreamIO, replaced: Partial<StreamIO>): StreamIO {
  return {
    send: replaced.send ?? ((bytes, options) => io.send(bytes, options)),
    recv: replaced.recv ?? (() => io.recv()),
    messages: replaced.messages ?? (() => io.messages()),
    request: replaced.request ?? (() => io.request()),
    get err () { return io.err }
  }
}
