/** What streams do, as handlers, callers and interceptors meet it. */
import type { RpcError } from '../lib/errors.js'
import type { Metadata, MetadataInit } from '../lib/metadata.js'

/** One message with what stood beside its bytes. */
export interface ReceivedMessage {
  /**
   * The bytes; they are the receiver's and are never written to again by this package. Often a view of a larger chunk of
   * what arrived (up to 64 KiB): take a `slice()` to keep a few bytes for long, or to transfer the buffer elsewhere.
   */
  readonly payload: Uint8Array
  /** Metadata of this message alone. */
  readonly metadata: Metadata
}

/** What may stand beside a message that is sent. */
export interface MessageOptions {
  /** Metadata of this message alone; at most 16 KiB. */
  metadata?: MetadataInit
}

/** The functions behind a handler's stream, which an interceptor may stand between. */
export interface StreamIO {
  /** See BiDirStream.send. */
  send (bytes: Uint8Array, options?: MessageOptions): Promise<void>
  /** See BiDirStream.recv. */
  recv (): AsyncIterableIterator<Uint8Array>
  /** See BiDirStream.messages. */
  messages (): AsyncIterableIterator<ReceivedMessage>
  /** See SendStream.request. */
  request (): Promise<Uint8Array>
  /** The error that ended the stream, if one did. */
  readonly err: RpcError | undefined
}
