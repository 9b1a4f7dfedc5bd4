/**
 * Credit of one session (protocol 1.1, section 3): what may be sent, and what is granted to the peer.
 * Knows bytes only, neither messages nor time. Toward a 1.0 peer there is no credit: both classes then
 * are made unlimited and the connection bounds what it holds by other means (backlog.ts).
 *
 *    granted by the peer --grant()--> SendCredit --spend()--> frames we write
 *    frames we receive --charge()--> ReceiveCredit --take()--> bytes to give back in a WindowUpdate
 */
import type { Clock } from '../../types/clock.js'

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

const NO_CLOCK = { now: () => 0 }

/** Half a window that passes in less than this is returned too often. */
const SHORT_MS = 10
/** Below this part of half a window a peer that sends at full speed has had to wait. */
const NEARLY_ALL = 3 / 4

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

/** What the sessions of a connection may grant together beyond their announced windows. */
export class GrowthBudget {
  /** The most one session's window grows to, bytes. */
  readonly maxWindow: number
  #available: number

  constructor (maxWindow: number, bytes: number) {
    this.maxWindow = maxWindow
    this.#available = bytes
  }

  /** Takes up to this many bytes; answers how many there were. */
  take (bytes: number): number {
    const taken = Math.min(bytes, this.#available)
    this.#available -= taken
    return taken
  }

  giveBack (bytes: number): void { this.#available += bytes }
}

/**
 * Permission given to the peer. Where there is a budget the window grows while the application keeps up: when
 * the peer has used up nearly all it had (then the window holds it up), or when half a window passes in so
 * short a time that returning it is most of the work. The peer is then granted as much again. A reader that
 * does not keep up never makes it grow.
 */
export class ReceiveCredit {
  #outstanding: number
  #returnable = 0
  /** All that is granted: outstanding, waiting for the application, and returnable. */
  #window: number
  #isExhausted = false
  #half: number
  #returnedAt: number
  readonly #announced: number
  readonly #budget: GrowthBudget | undefined
  readonly #clock: Pick<Clock, 'now'>

  /**
   * @param window the effective window, Infinity where the peer knows no credit.
   * @param budget what it may grow by; without one it does not grow. @param clock what tells how fast it passes.
   */
  constructor (window: number, budget?: GrowthBudget, clock: Pick<Clock, 'now'> = NO_CLOCK) {
    this.#outstanding = this.#window = this.#announced = window
    this.#half = window / 2
    this.#budget = budget
    this.#clock = clock
    this.#returnedAt = clock.now()
  }

  /** Takes the cost of an arrived frame off the peer's credit; false when it had too little. */
  charge (cost: number): boolean {
    this.#outstanding -= cost
    if (this.#outstanding < this.#half * NEARLY_ALL) this.#isExhausted = true
    return this.#outstanding >= 0
  }

  /**
   * The application took (or this side stored or threw away) what had this cost. Answers the bytes to
   * return to the peer now, 0 while they are less than half the window.
   */
  take (cost: number): number {
    this.#returnable += cost
    if (this.#returnable < this.#half) return 0
    const bytes = this.#returnable + this.#growth()
    this.#returnable = 0
    this.#outstanding += bytes
    return bytes
  }

  /** The session is over: what it was granted beyond its window goes back to the budget. */
  release (): void {
    this.#budget?.giveBack(this.#window - this.#announced)
    this.#window = this.#announced
  }

  #growth (): number {
    const budget = this.#budget
    if (budget === undefined || this.#window >= budget.maxWindow) return 0
    const now = this.#clock.now()
    const isHeldUp = this.#isExhausted || now - this.#returnedAt < SHORT_MS
    this.#returnedAt = now
    this.#isExhausted = false
    const untaken = this.#window - this.#outstanding - this.#returnable
    if (!isHeldUp || untaken > this.#half / 2) return 0
    const bytes = budget.take(Math.min(this.#window, budget.maxWindow - this.#window))
    this.#window += bytes
    this.#half = this.#window / 2
    return bytes
  }

  /** Bytes the peer may still send. */
  get outstanding (): number { return this.#outstanding }
}
