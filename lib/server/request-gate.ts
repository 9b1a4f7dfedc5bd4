/**
 * How many synchronous requests of one connection run at a time (protocol 1.1, section 8). The others
 * wait in order, and because what waits is not credited, the peer's windows bound how much can wait.
 */
import { Inbox } from '../connection/inbox.js'

/** Somebody who waits to be let in. */
export interface GateUser {
  /** Let in. Must call the gate's `leave` once, now or later. */
  admitted (): void
}

export class RequestGate {
  readonly #max: number
  readonly #waiting = new Inbox<GateUser>()
  #inside = 0

  constructor (max: number) { this.#max = max }

  get inside (): number { return this.#inside }

  enter (user: GateUser): void {
    if (this.#inside >= this.#max) return this.#waiting.push(user)
    this.#inside++
    user.admitted()
  }

  leave (): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#inside--
    else next.admitted()
  }
}
