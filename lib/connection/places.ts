/**
 * The few places in which messages larger than their window are put together (protocol 1.1, section 6).
 * A session holds its place until the application took the message, so that the open sessions of a
 * connection never store more whole messages than it has places. One of them is for those whose messages
 * are being taken: calls that wait for their turn to run, and keep a place meanwhile, must not hold up
 * the calls they wait for.
 */
export interface PlaceTaker {
  /** Whether somebody takes its messages now. */
  readonly isRunning: boolean
  placeGranted (): void
}

export class Places {
  readonly #count: number
  readonly #holders = new Set<PlaceTaker>()
  readonly #waiting = new Set<PlaceTaker>()

  /** @param count with one alone nothing is kept for those who run. */
  constructor (count: number) { this.#count = count }

  /** Gives a place now or, in order of asking, later. */
  request (taker: PlaceTaker): void {
    if (this.#holders.has(taker)) return taker.placeGranted()
    this.#waiting.add(taker)
    this.grant()
  }

  /** Takes the place back, or forgets that one was asked for. */
  release (taker: PlaceTaker): void {
    this.#waiting.delete(taker)
    if (this.#holders.delete(taker)) this.grant()
  }

  /** Gives out what there is; to be called, too, when somebody who had to wait for its turn has begun to run. */
  grant (): void {
    for (const taker of this.#waiting) {
      if (this.#holders.size >= this.#count) return
      if (!taker.isRunning && this.#idleHolders >= Math.max(1, this.#count - 1)) continue
      this.#waiting.delete(taker)
      this.#holders.add(taker)
      taker.placeGranted()
    }
  }

  get #idleHolders (): number {
    let count = 0
    for (const holder of this.#holders) if (!holder.isRunning) count++
    return count
  }
}
