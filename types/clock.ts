/**
 * Time as the engine sees it, injected so that tests have no need to wait.
 */

/** A timer that was started and may be stopped. */
export interface Timer {
  /** Stops it; harmless when it has fired or was stopped. */
  stop (): void
}

/** The time, timers and the end of the present turn of the event loop. */
export interface Clock {
  /** Monotonic milliseconds. */
  now (): number
  /** Calls `fire` once after `ms` milliseconds. Timers never keep the process alive by themselves. */
  timer (ms: number, fire: () => void): Timer
  /** Calls `run` after all that is already queued for this turn (promise continuations too) has run. */
  endOfTurn (run: () => void): void
}
