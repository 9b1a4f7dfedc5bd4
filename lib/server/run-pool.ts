/**
 * How many handlers may run at a time in one server. Calls beyond that wait in order of arrival; how many
 * may wait is bounded too, and a call that is cancelled or times out while it waits leaves the queue.
 */

/** Something that wants to run. */
export interface Run {
  /** The pool's own note; start with 'none'. */
  place: 'none' | 'queued' | 'running'
  /** Its turn has come. Must not throw. */
  start (): void
}

export class RunPool {
  readonly #max: number
  readonly #maxQueued: number
  readonly #queue = new Set<Run>()
  #running = 0
  #isServing = false

  /** @param max runs at a time, 0 for no limit. @param maxQueued waiting runs, 0 for none. */
  constructor (max: number, maxQueued: number) {
    this.#max = max === 0 ? Infinity : max
    this.#maxQueued = maxQueued
  }

  get running (): number { return this.#running }
  get queued (): number { return this.#queue.size }

  /** Starts the run now or when its turn comes; false when too many wait already. */
  enter (run: Run): boolean {
    if (this.#running < this.#max && this.#queue.size === 0) this.#start(run)
    else if (this.#queue.size < this.#maxQueued) {
      run.place = 'queued'
      this.#queue.add(run)
    } else return false
    return true
  }

  /** Takes the run out of the queue, or frees its place after it has ended. Harmless when repeated. */
  leave (run: Run): void {
    const { place } = run
    run.place = 'none'
    if (place === 'queued') this.#queue.delete(run)
    if (place !== 'running') return
    this.#running--
    // A run may end while it is started: the loop below goes on then, instead of a deeper one for each such run.
    if (this.#isServing) return
    this.#isServing = true
    for (const next of this.#queue) {
      if (this.#running >= this.#max) break
      this.#queue.delete(next)
      this.#start(next)
    }
    this.#isServing = false
  }

  #start (run: Run): void {
    this.#running++
    run.place = 'running'
    run.start()
  }
}
