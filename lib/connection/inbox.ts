/**
 * First in, first out, in constant time and without holes: the queue behind every list of waiting
 * messages in this room. Bounded by whoever fills it (credit, or the connection's backlog).
 */
/** The array of an inbox that never held anything, as most do: shared, and never pushed to. */
const NONE: never[] = []

export class Inbox<T> {
  #items: (T | undefined)[] = NONE
  #head = 0

  /** How many items wait. */
  get length (): number { return this.#items.length - this.#head }

  /** Adds one at the end. */
  push (item: T): void {
    if (this.#items === NONE) this.#items = [item]
    else this.#items.push(item)
  }

  /** The first one, left in place. */
  peek (): T | undefined { return this.#items[this.#head] }

  /** Up to this many of those that came last, left in place. */
  last (count: number): T[] {
    return this.#items.slice(Math.max(this.#head, this.#items.length - count)) as T[]
  }

  /** Takes the first one out. */
  shift (): T | undefined {
    if (this.#head === this.#items.length) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length) {
      // A burst must not leave its capacity behind in an idle session.
      if (this.#head > 1024) this.#items = NONE
      else this.#items.length = 0
      this.#head = 0
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head)
      this.#head = 0
    }
    return item
  }

  /** Takes out every item for which the function answers true, in order. */
  remove (matches: (item: T) => boolean): T[] {
    const removed: T[] = []
    const kept: T[] = []
    for (let item = this.shift(); item !== undefined; item = this.shift()) (matches(item) ? removed : kept).push(item)
    this.#items = kept
    this.#head = 0
    return removed
  }

  /** Takes out everything. */
  clear (): T[] {
    const items = this.#items.slice(this.#head) as T[]
    this.#items = NONE
    this.#head = 0
    return items
  }
}
