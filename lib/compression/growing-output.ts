/**
 * Output whose length may be unknown until the end: it grows by doubling as it is written, so that memory
 * follows what was really decoded, and stops at a limit.
 */

/** See the head of this file. */
export class GrowingOutput {
  readonly #max: number
  #bytes: Uint8Array
  /** How much of `bytes` is written. Writers move it. */
  length = 0

  /**
   * @param expected where to begin, in bytes
   * @param max what the length may never exceed
   */
  constructor (expected: number, max: number) {
    this.#max = max
    this.#bytes = new Uint8Array(Math.min(expected, max))
  }

  /** The memory, longer than what is written. Valid until the next `reserve`. */
  get bytes (): Uint8Array {
    return this.#bytes
  }

  /** Makes room for so many bytes more, for fewer where the limit is nearer, and returns the memory. */
  reserve (more: number): Uint8Array {
    const needed = Math.min(this.length + more, this.#max)
    if (needed > this.#bytes.length) {
      const bytes = new Uint8Array(Math.min(Math.max(needed, this.#bytes.length * 2), this.#max))
      bytes.set(this.#bytes.subarray(0, this.length))
      this.#bytes = bytes
    }
    return this.#bytes
  }

  /** What was written; copied when the memory is much larger than that, so that the result keeps no more alive. */
  result (): Uint8Array {
    if (this.length === this.#bytes.length) return this.#bytes
    return this.length * 4 < this.#bytes.length * 3 ? this.#bytes.slice(0, this.length) : this.#bytes.subarray(0, this.length)
  }
}
