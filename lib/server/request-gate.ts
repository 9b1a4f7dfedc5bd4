/**
 * How many synchronous requests of one connection run at a time (protocol 1.1, section 8). The others
 * wait in order, and because what waits is not credited, the peer's windows bound how much can wait.
 */

/** Somebody who waits to be let in. */
export interface GateUser {
  /** Let in. Must not throw. */
  admitted (): void
}

export class RequestGate {
  readonly #max: number
  readonly #inside = new Set<GateUser>()
  readonly #waiting = new Set<GateUser>()
  #isServing = false

  constructor (max: number) { this.#max = max }

  get inside (): number { return this.#inside.size }
  get waiting (): number { return this.#waiting.size }

  enter (user: GateUser): void {
    if (this.#inside.size >= this.#max || this.#waiting.size > 0) this.#waiting.add(user)
    else this.#admit(user)
  }

  /** Out again, or tired of waiting. Harmless when repeated. */
  leave (user: GateUser): void {
    this.#waiting.delete(user)
    // Who leaves while being admitted lets the loop below go on, instead of a deeper one.
    if (!this.#inside.delete(user) || this.#isServing) return
    this.#isServing = true
    for (const next of this.#waiting) {
      if (this.#inside.size >= this.#max) break
      this.#waiting.delete(next)
      this.#admit(next)
    }
    this.#isServing = false
  }

  #admit (user: GateUser): void {
    this.#inside.add(user)
    user.admitted()
  }
}
