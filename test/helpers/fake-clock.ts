/**
 * A clock that stands still until it is advanced. Turns end as with the real clock, because tests wait for promises,
 * unless the test ends them itself.
 */
import { systemClock } from '../../lib/clock.js'
import type { Clock, Timer } from '../../types/clock.js'

class FakeTimer implements Timer {
  readonly #clock: FakeClock
  readonly at: number
  readonly fire: () => void

  constructor (clock: FakeClock, at: number, fire: () => void) {
    this.#clock = clock
    this.at = at
    this.fire = fire
  }

  stop (): void {
    this.#clock.forget(this)
  }
}

/** Which turns a {@link FakeClock} has: the real ones, or those that the test ends with `endTurn`. */
export interface FakeClockOptions {
  turns?: 'real' | 'manual'
}

/** Time as the test wants it. */
export class FakeClock implements Clock {
  #now = 0
  #timers: FakeTimer[] = []
  #turn: (() => void)[] = []
  readonly #isManual: boolean

  constructor ({ turns = 'real' }: FakeClockOptions = {}) {
    this.#isManual = turns === 'manual'
  }

  now (): number {
    return this.#now
  }

  timer (ms: number, fire: () => void): Timer {
    const timer = new FakeTimer(this, this.#now + Math.max(0, ms), fire)
    this.#timers.push(timer)
    return timer
  }

  endOfTurn (run: () => void): void {
    if (this.#isManual) this.#turn.push(run)
    else systemClock.endOfTurn(run)
  }

  /** Timers that were started and have neither fired nor been stopped. */
  get pendingTimers (): number {
    return this.#timers.length
  }

  /** Lets `ms` milliseconds pass: fires what is due, in the order of time, also what is started meanwhile. */
  advance (ms: number): void {
    const end = this.#now + ms
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.at)
      this.forget(next)
      next.fire()
    }
    this.#now = end
  }

  /** With manual turns: runs what waits for the end of the turn, also what is added meanwhile. */
  endTurn (): void {
    for (let run = this.#turn.shift(); run !== undefined; run = this.#turn.shift()) run()
  }

  /** @internal */
  forget (timer: FakeTimer): void {
    this.#timers = this.#timers.filter(other => other !== timer)
  }

  #next (end: number): FakeTimer | undefined {
    let first: FakeTimer | undefined
    for (const timer of this.#timers) {
      if (timer.at <= end && (first === undefined || timer.at < first.at)) first = timer
    }
    return first
  }
}
