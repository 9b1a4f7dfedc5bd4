/** The three streams that callers hold; the work is done by StreamCall. */
import type { MessageOptions, ReceivedMessage } from '../../types/stream.js'
import { Category, RpcError } from '../errors.js'
import type { Metadata } from '../metadata.js'
import { NO_BYTES } from '../wire/message.js'
import type { StreamCall } from './stream-call.js'

/** What all streams of a caller share. */
abstract class CallerStream {
  /** @internal */
  protected readonly stream: StreamCall

  /** @internal */
  constructor (stream: StreamCall) { this.stream = stream }

  /** The error that ended the stream; undefined while it runs and after a good end. */
  get err (): RpcError | undefined { return this.stream.error }
  /** Response headers; empty until the server has accepted the call. */
  get headers (): Metadata { return this.stream.headers }
  /** The server's trailers; empty until the stream is over. */
  get trailer (): Metadata { return this.stream.trailer }
  /** Resolves when the stream is over: with its error, or undefined after a good end. Never rejects. */
  get ended (): Promise<RpcError | undefined> { return this.stream.ended }

  /** Ends the call: iteration and sends fail with Canceled, the handler's signal aborts. Harmless when it is over. */
  cancel (reason = 'canceled by the caller'): void { this.stream.cancel(new RpcError(Category.Canceled, reason)) }
}

/** Both sides stream. */
export class ClientBiDirStream extends CallerStream {
  /**
   * Sends a message. Resolves when it was written, which may wait for the server to take earlier ones: await
   * it, and memory stays bounded. Do not change the bytes before that.
   * @throws RpcError with the call's error once it is over.
   */
  send (bytes: Uint8Array, options?: MessageOptions): Promise<void> { return this.stream.io.send(bytes, options) }

  /** Says that no more will be sent; messages of the server still arrive. */
  closeSend (): void { this.stream.io.endSending() }

  /** Messages of the server. Ends when the handler ended well, throws the call's error otherwise. Leaving the loop early does not end the call. */
  recv (): AsyncIterableIterator<Uint8Array> { return this.stream.io.recv() }

  /** Like `recv`, with the metadata of each message. */
  messages (): AsyncIterableIterator<ReceivedMessage> { return this.stream.io.messages() }
}

/** The client streams, the server answers once. */
export class ClientSendStream extends CallerStream {
  /** See {@link ClientBiDirStream.send}. */
  send (bytes: Uint8Array, options?: MessageOptions): Promise<void> { return this.stream.io.send(bytes, options) }

  /**
   * Says that no more will be sent and waits for the handler's answer: its bytes, empty when it has none.
   * @throws RpcError the call's error.
   */
  async close (): Promise<Uint8Array> {
    this.stream.io.endSending()
    let answer: Uint8Array = NO_BYTES
    for await (const bytes of this.stream.io.recv()) answer = bytes
    return answer
  }
}

/** The server streams. Iterate over it; leaving the loop early cancels the call. */
export class ClientRecvStream extends CallerStream implements AsyncIterable<Uint8Array> {
  [Symbol.asyncIterator] (): AsyncIterableIterator<Uint8Array> { return this.recv() }

  /** Messages of the server. Ends when the handler ended well, throws the call's error otherwise. */
  recv (): AsyncIterableIterator<Uint8Array> { return this.stream.io.recv() }

  /** Like `recv`, with the metadata of each message. */
  messages (): AsyncIterableIterator<ReceivedMessage> { return this.stream.io.messages() }
}
