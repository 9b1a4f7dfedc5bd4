/**
 * Runs at most so many asynchronous jobs at once, the others wait in order. Unbounded concurrent zlib jobs
 * fragment the heap until the process dies (websockets/ws#1202), and more jobs than threads finish no sooner.
 */

/** See the head of this file. */
export class Limiter {
  readonly #max: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  /** @param max how many jobs may run at once, at least 1 */
  constructor (max: number) {
    this.#max = max
  }

  /** Runs the job when its turn has come; settles as the job does. A job that fails frees its place too. */
  async run<T> (job: () => T | Promise<T>): Promise<T> {
    if (this.#running < this.#max) this.#running++
    else await new Promise<void>(resolve => { this.#waiting.push(resolve) })
    try {
      return await job()
    } finally {
      // A waiting job inherits the place, so that nobody can slip in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
