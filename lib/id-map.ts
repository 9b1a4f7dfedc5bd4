/**
 * A map from the 32-bit numbers of the wire (SessionID, ReqID, OpenID) to whatever has that number now. Entries come
 * and go by the million while few are there at a time. `Map` is bad at that: each time it tidies up it leaves its old
 * table behind, pointing at the next one, and once such a table has grown old in the garbage collector it drags every
 * later one, with all the calls in it, out of the cheap collections of young objects into the expensive ones.
 * Open addressing with linear probing; a deletion closes its gap, so that nothing is ever left behind.
 */

/** Marks a free slot; no number of the wire is negative. */
const FREE = -1
const MIN_SLOTS = 4
/** An empty map with more slots than this gives them back. */
const MAX_IDLE_SLOTS = 1024
const NO_KEYS: number[] = []
const NO_VALUES: never[] = []

/** Different in each process: the numbers come from peers, who must not choose where they collide. */
const SEED = Math.floor(Math.random() * 2 ** 32)

/** Where an id goes: its upper bits. Two rounds, so that numbers that follow each other, as ours do, go far apart with every seed. */
export function spread (id: number, seed: number): number {
  const once = Math.imul(id ^ seed, 0x9e3779b1)
  return Math.imul(once ^ once >>> 15, 0x85ebca6b) >>> 0
}

export class IdMap<V> {
  #size = 0
  /** 32 less the binary logarithm of the number of slots. */
  #shift = 32
  #keys: number[] = NO_KEYS
  #values: (V | undefined)[] = NO_VALUES

  get size (): number { return this.#size }

  get (id: number): V | undefined {
    const at = this.#find(id)
    return at === FREE ? undefined : this.#values[at]
  }

  has (id: number): boolean { return this.#find(id) !== FREE }

  set (id: number, value: V): void {
    if (2 * this.#size >= this.#keys.length) this.#resize(Math.max(MIN_SLOTS, 2 * this.#keys.length))
    const keys = this.#keys
    const mask = keys.length - 1
    let at = this.#home(id)
    while (keys[at] !== FREE && keys[at] !== id) at = (at + 1) & mask
    if (keys[at] === FREE) this.#size++
    keys[at] = id
    this.#values[at] = value
  }

  /** Answers whether it was there. */
  delete (id: number): boolean {
    let gap = this.#find(id)
    if (gap === FREE) return false
    const keys = this.#keys
    const values = this.#values
    const mask = keys.length - 1
    for (let at = (gap + 1) & mask; keys[at] !== FREE; at = (at + 1) & mask) {
      const key = keys[at] as number
      // It may stay where it is if its own place lies behind the gap.
      if (((at - this.#home(key)) & mask) < ((at - gap) & mask)) continue
      keys[gap] = key
      values[gap] = values[at]
      gap = at
    }
    keys[gap] = FREE
    values[gap] = undefined
    if (--this.#size === 0 && keys.length > MAX_IDLE_SLOTS) this.clear()
    return true
  }

  clear (): void {
    this.#size = 0
    this.#shift = 32
    this.#keys = NO_KEYS
    this.#values = NO_VALUES
  }

  /** What is there now, in the order of the numbers: a copy, so that the map may change meanwhile. */
  values (): V[] {
    return this.#keys.filter((key) => key !== FREE).sort((one, other) => one - other).map((key) => this.get(key) as V)
  }

  #home (id: number): number { return spread(id, SEED) >>> this.#shift }

  #find (id: number): number {
    if (this.#size === 0) return FREE
    const keys = this.#keys
    const mask = keys.length - 1
    let at = this.#home(id)
    for (;;) {
      const key = keys[at]
      if (key === id) return at
      if (key === FREE) return FREE
      at = (at + 1) & mask
    }
  }

  #resize (slots: number): void {
    const keys = this.#keys
    const values = this.#values
    this.#keys = new Array<number>(slots).fill(FREE)
    this.#values = new Array<V | undefined>(slots).fill(undefined)
    this.#shift = 32 - Math.log2(slots)
    this.#size = 0
    for (let at = 0; at < keys.length; at++) if (keys[at] !== FREE) this.set(keys[at] as number, values[at] as V)
  }
}
