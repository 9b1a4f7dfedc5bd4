/**
 * A Node stream as a transport: TCP and Unix sockets, TLS, an HTTP/2 stream, any Duplex of bytes. Node only, though it
 * imports nothing but a type. Knows nothing of what the bytes mean; an end in the middle of a frame is the engine's
 * matter.
 */
import { Account } from './account.js'
import { connectionLost } from '../errors.js'
import type { Duplex } from 'node:stream'
import type { Transport, TransportSink } from '../../types/transport.js'

/** What the stream itself may not know. */
export interface DuplexTransportOptions {
  /** Address of the peer; a socket's own `remoteAddress` when absent. */
  remoteAddress?: string
}

/** What sockets have beyond a Duplex. */
interface SocketExtras {
  readonly remoteAddress?: unknown
  readonly setNoDelay?: (noDelay: boolean) => unknown
}

/**
 * A transport over a connected Duplex, which it owns from now on: it reads it, ends it and destroys it. The stream
 * carries bytes (no object mode, no encoding). Switches Nagle's delay off where there is one: the engine writes once
 * a turn, and that write should leave.
 *
 * When the peer ends, our side is ended too, and `onClose` comes when what was written has left.
 */
export function duplexTransport (duplex: Duplex, options: DuplexTransportOptions = {}): Transport {
  return new DuplexTransport(duplex, options)
}

class DuplexTransport implements Transport {
  readonly remoteAddress: string | undefined
  readonly #duplex: Duplex
  readonly #account = new Account()
  readonly #isSocket: boolean

  constructor (duplex: Duplex, { remoteAddress }: DuplexTransportOptions) {
    const extras = duplex as SocketExtras
    const known = extras.remoteAddress
    this.remoteAddress = remoteAddress ?? (typeof known === 'string' ? known : undefined)
    this.#duplex = duplex
    this.#isSocket = typeof extras.setNoDelay === 'function' // also TLS and Unix sockets

    // From here on and not from `start`: an error without a listener would end the process.
    duplex.on('error', this.#handleError)
    duplex.on('close', this.#handleClose)
    if (duplex.destroyed) this.#account.endSoon(connectionLost('the stream was closed before', duplex.errored))
    else extras.setNoDelay?.call(duplex, true)
  }

  start (sink: TransportSink): void {
    this.#account.start(sink)
    if (this.#account.ended) return
    const duplex = this.#duplex
    if (duplex.readableEnded) queueMicrotask(this.#handleEnd) // before us; the event is not repeated
    duplex.on('finish', this.#handleFinish)
    duplex.on('end', this.#handleEnd)
    duplex.on('data', this.#handleData)
    duplex.resume() // the listener does not start a stream that was paused explicitly
  }

  write (chunk: Uint8Array, done: () => void): void {
    if (this.#account.ended) {
      this.#account.refuse(done)
      return
    }
    this.#account.owe(done)
    // `writable` also says no after an error or when the stream ended itself. Callbacks then come out of order; the end,
    // which is near, settles it. A writer that was told at once would go on in the same turn.
    if (!this.#duplex.writable) return
    // A socket's memory ends up in the kernel. Any other stream may pass the very same memory on to a reader in this
    // process, who keeps it, while the writer uses it again after `done`.
    this.#duplex.write(this.#isSocket ? chunk : new Uint8Array(chunk), this.#account.taken)
  }

  pause (): void {
    this.#duplex.pause()
  }

  resume (): void {
    if (!this.#account.ended) this.#duplex.resume()
  }

  close (): void {
    if (!this.#account.ended && !this.#duplex.writableEnded) this.#duplex.end()
  }

  destroy (error?: Error): void {
    this.#account.endSoon(error)
    this.#release()
  }

  readonly #handleData = (chunk: Uint8Array): void => {
    this.#account.sink?.onData(chunk)
  }

  readonly #handleEnd = (): void => {
    this.close()
    this.#concludeWhenBothEnded()
  }

  readonly #handleFinish = (): void => {
    this.#concludeWhenBothEnded()
  }

  readonly #handleError = (error: Error): void => {
    this.#account.end(connectionLost('connection lost', error))
    this.#release()
  }

  readonly #handleClose = (): void => {
    this.#account.end(connectionLost('connection lost'))
    this.#release()
    this.#duplex.off('error', this.#handleError)
    this.#duplex.off('close', this.#handleClose)
  }

  #concludeWhenBothEnded (): void {
    if (!this.#duplex.readableEnded || !this.#duplex.writableFinished) return
    this.#account.end()
    this.#release()
  }

  /** Leaves nothing of ours on the stream but what must see its last events. */
  #release (): void {
    const duplex = this.#duplex
    duplex.off('data', this.#handleData)
    duplex.off('end', this.#handleEnd)
    duplex.off('finish', this.#handleFinish)
    duplex.destroy() // also streams that do not by themselves
  }
}
