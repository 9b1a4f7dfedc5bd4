/**
 * The few places in which messages larger than their window are put together (protocol 1.1, section 6).
 * A session holds its place until the application took the message, so that a connection never stores
 * more whole messages than it has places.
 */
export interface PlaceTaker {
  placeGranted (): void
}

export class Places {
  readonly #count: number
  readonly #holders = new Set<PlaceTaker>()
  readonly #waiting = new Set<PlaceTaker>()

  constructor (count: number) { this.#count = count }

  /** Gives a place now or, in order of asking, later. */
  request (taker: PlaceTaker): void {
    if (this.#holders.has(taker)) return taker.placeGranted()
    this.#waiting.add(taker)
    this.#grant()
  }

  /** Takes the place back, or forgets that one was asked for. */
  release (taker: PlaceTaker): void {
    this.#waiting.delete(taker)
    if (this.#holders.delete(taker)) this.#grant()
  }

  #grant (): void {
    for (const taker of this.#waiting) {
      if (this.#holders.size >= this.#count) return
      this.#waiting.delete(taker)
      this.#holders.add(taker)
      taker.placeGranted()
    }
  }
}
