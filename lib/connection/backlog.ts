/**
 * What a connection holds unread for a 1.0 peer, which knows no credit (protocol 1.1, section 3): beyond
 * a bound the transport is paused until handlers have taken enough. While it is paused the peer hears a
 * Pong now and then, which keeps a Go client from giving up.
 */
import type { Transport } from '../../types/transport.js'

/** How often a paused peer gets an unsolicited Pong, milliseconds. */
export const PAUSED_PONG_MS = 5000

export class Backlog {
  #heldBytes = 0
  /** Clock milliseconds when it was paused, or when something was last taken while paused. */
  #pausedAt: number | undefined
  #lastPongAt = 0
  readonly #transport: Transport
  readonly #maxBytes: number

  constructor (transport: Transport, maxBytes: number) {
    this.#transport = transport
    this.#maxBytes = maxBytes
  }

  get isPaused (): boolean { return this.#pausedAt !== undefined }
  get heldBytes (): number { return this.#heldBytes }

  /** More (or, negative, fewer) bytes are held. */
  hold (bytes: number, now: () => number): void {
    this.#heldBytes += bytes
    if (this.#pausedAt === undefined) {
      if (this.#heldBytes < this.#maxBytes) return
      this.#pausedAt = this.#lastPongAt = now()
      this.#transport.pause()
    } else if (this.#heldBytes <= this.#maxBytes / 2) {
      this.#pausedAt = undefined
      this.#transport.resume()
    } else if (bytes < 0) this.#pausedAt = now()
  }

  /** Whether the paused peer should hear a Pong now. */
  wantsPong (now: number): boolean {
    if (this.#pausedAt === undefined || now - this.#lastPongAt < PAUSED_PONG_MS) return false
    this.#lastPongAt = now
    return true
  }

  /** Whether nothing was taken for this long while paused. */
  isStuck (now: number, timeoutMs: number): boolean {
    return this.#pausedAt !== undefined && now - this.#pausedAt >= timeoutMs
  }
}
