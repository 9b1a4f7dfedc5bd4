/**
 * Credit of one session (protocol 1.1, section 3): what may be sent, and what is granted to the peer.
 * Knows bytes only, neither messages nor time. Toward a 1.0 peer there is no credit: both classes then
 * are made unlimited and the connection bounds what it holds by other means (backlog.ts).
 *
 *    granted by the peer --grant()--> SendCredit --spend()--> frames we write
 *    frames we receive --charge()--> ReceiveCredit --take()--> bytes to give back in a WindowUpdate
 */

/** The smallest window a session can have; smaller announcements are raised to it by both sides. */
export const MIN_WINDOW_BYTES = 128 * 1024
/** The window this side announces by default. */
export const DEFAULT_WINDOW_BYTES = 256 * 1024
/** The largest window and the most credit there may be at any time. */
export const MAX_WINDOW_BYTES = 0x7fffffff
/** What a Payload frame costs beside its bytes: about what a queued message takes in memory. */
export const FRAME_COST_OVERHEAD = 64

/** The window that an announced value stands for; both sides compute it alike. */
export function effectiveWindow (announced: number): number {
  return Math.min(Math.max(announced, MIN_WINDOW_BYTES), MAX_WINDOW_BYTES)
}

/** What one Payload frame of this many bytes (unpacked) costs. */
export function frameCost (frameBytes: number): number {
  return frameBytes + FRAME_COST_OVERHEAD
}

/** Permission to send, granted by the peer. */
export class SendCredit {
  /** Bytes that may be spent now; Infinity toward a 1.0 peer. */
  available: number
  /** No single frame may cost more: half the window. */
  readonly maxFrameCost: number

  /** @param window the effective window, Infinity where the peer knows no credit. */
  constructor (window: number) {
    this.available = window
    this.maxFrameCost = Math.floor(window / 2)
  }

  /** Adds what the peer granted; false when the sum is more than any peer may grant. */
  grant (bytes: number): boolean {
    this.available += bytes
    return this.available <= MAX_WINDOW_BYTES || this.available === Infinity
  }
}

/** Permission given to the peer. */
export class ReceiveCredit {
  #outstanding: number
  #returnable = 0
  readonly #half: number

  /** @param window the effective window, Infinity where the peer knows no credit. */
  constructor (window: number) {
    this.#outstanding = window
    this.#half = window / 2
  }

  /** Takes the cost of an arrived frame off the peer's credit; false when it had too little. */
  charge (cost: number): boolean {
    this.#outstanding -= cost
    return this.#outstanding >= 0
  }

  /**
   * The application took (or this side stored or threw away) what had this cost. Answers the bytes to
   * return to the peer now, 0 while they are less than half the window.
   */
  take (cost: number): number {
    this.#returnable += cost
    if (this.#returnable < this.#half) return 0
    const bytes = this.#returnable
    this.#returnable = 0
    this.#outstanding += bytes
    return bytes
  }

  /** Bytes the peer may still send. */
  get outstanding (): number { return this.#outstanding }
}
