/** The messages that all systems carry, the same in every process: both sides can make them and check them. */
import { Buffer } from 'node:buffer'

/** How many different messages of one size there are; message i of a stream is number i % POOL. */
const POOL = 64
const pools = new Map()

function poolOf (size) {
  let pool = pools.get(size)
  if (pool !== undefined) return pool
  // Words of xorshift32: nothing that compresses. A pool of large messages stays below 64 MiB.
  let state = (0x9e3779b9 ^ Math.imul(size, 0x9e3779b1)) | 1
  const distinct = Math.max(1, Math.min(POOL, (64 << 20) / size | 0))
  pool = Array.from({ length: distinct }, () => {
    const words = new Uint32Array(Math.ceil(size / 4))
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      words[i] = state
    }
    return new Uint8Array(words.buffer, 0, size)
  })
  while (pool.length < POOL) pool.push(pool[pool.length % distinct])
  pools.set(size, pool)
  return pool
}

/** Message i of a stream of messages of this size. Shared: nobody writes into it. */
export function message (i, size) {
  return poolOf(size)[i & (POOL - 1)]
}

/** What the producers of this process have handed to their library, and whether each message shall have its own memory. */
export const production = { bytes: 0, isFresh: false }

/** The same, for the producers of a server: counted, and in memory of its own where it matters what is held. */
export function produce (i, size) {
  production.bytes += size
  const shared = message(i, size)
  return production.isFresh ? shared.slice() : shared
}

export function isSame (bytes, expected) {
  return bytes instanceof Uint8Array && bytes.length === expected.length && Buffer.compare(bytes, expected) === 0
}

/** The same memory as a Buffer. */
export function asBuffer (bytes) {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export const toBase64 = (bytes) => asBuffer(bytes).toString('base64')
export const fromBase64 = (text) => Buffer.from(text, 'base64')

const AHEAD_BYTES = 8 << 20
const AHEAD_MESSAGES = 2048

/** How far the sender of an echoed stream may be ahead of the echoes, where the library itself sets no bound. */
export class Lead {
  #messages = 0
  #wake
  #most

  constructor (size) { this.#most = Math.min(AHEAD_MESSAGES, AHEAD_BYTES / size) }

  /** Before each message; undefined when it may be sent at once. */
  take () {
    return ++this.#messages > this.#most ? new Promise((resolve) => { this.#wake = resolve }) : undefined
  }

  /** For each echo. */
  giveBack () {
    this.#messages--
    this.#wake?.()
    this.#wake = undefined
  }
}

/** Turns pushed values into an async iteration; cheap while values are waiting. */
export class PushQueue {
  #values = []
  #head = 0
  #waiting
  #isDone = false
  #error

  push (value) {
    if (this.#waiting === undefined) return this.#values.push(value)
    const { resolve } = this.#waiting
    this.#waiting = undefined
    resolve({ value, done: false })
  }

  end () {
    this.#isDone = true
    this.#waiting?.resolve({ value: undefined, done: true })
    this.#waiting = undefined
  }

  fail (error) {
    this.#error = error
    this.#waiting?.reject(error)
    this.#waiting = undefined
  }

  next () {
    if (this.#head < this.#values.length) {
      const value = this.#values[this.#head]
      this.#values[this.#head++] = undefined
      if (this.#head === this.#values.length) this.#values.length = this.#head = 0
      return Promise.resolve({ value, done: false })
    }
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#isDone) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => { this.#waiting = { resolve, reject } })
  }

  return () {
    this.#isDone = true
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator] () { return this }
}
