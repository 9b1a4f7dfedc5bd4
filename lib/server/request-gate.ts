/**
 * How many synchronous requests of one connection run at a time (protocol 1.1, section 8). The others
 * wait in order, and because what waits is not credited, the peer's windows bound how much can wait.
 */

/** Somebody who waits to be let in. */
export interface GateUser {
  /** The gate's own note; start with 'none'. */
  gatePlace: 'none' | 'waiting' | 'inside'
  /** Let in. Must not throw. */
  admitted (): void
}

export class RequestGate {
  readonly #max: number
  #inside = 0
  /** Made when somebody waits for the first time: most connections never need it. */
  #waiting: Set<GateUser> | undefined
  #isServing = false

  constructor (max: number) { this.#max = max }

  get inside (): number { return this.#inside }
  get waiting (): number { return this.#waiting?.size ?? 0 }

  enter (user: GateUser): void {
    if (this.#inside < this.#max && this.waiting === 0) return this.#admit(user)
    user.gatePlace = 'waiting'
    this.#waiting ??= new Set()
    this.#waiting.add(user)
  }

  /** Out again, or tired of waiting. Harmless when repeated. */
  leave (user: GateUser): void {
    const { gatePlace } = user
    user.gatePlace = 'none'
    if (gatePlace === 'waiting') this.#waiting?.delete(user)
    if (gatePlace !== 'inside') return
    this.#inside--
    // Who leaves while being admitted lets the loop below go on, instead of a deeper one.
    if (this.#isServing || this.#waiting === undefined) return
    this.#isServing = true
    for (const next of this.#waiting) {
      if (this.#inside >= this.#max) break
      this.#waiting.delete(next)
      this.#admit(next)
    }
    this.#isServing = false
  }

  #admit (user: GateUser): void {
    this.#inside++
    user.gatePlace = 'inside'
    user.admitted()
  }
}
