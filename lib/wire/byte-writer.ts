/**
 * A growable little-endian byte writer over memory somebody else pools. It owns the growing; what the bytes
 * mean is for its users, who reserve once per frame and then store unchecked through `view` and `bytes`.
 * It knows neither frames nor fields.
 */
import { NO_BYTES } from './message.js'

/** Where a {@link ByteWriter} gets its memory and gives it back. */
export interface ByteAllocator {
  /** At least `minBytes` bytes; more are welcome. They need not be zero, for writers write every byte. */
  allocate (minBytes: number): Uint8Array
  /**
   * Takes back memory that `allocate` gave. The view may be shorter than the one given (what `take` cut),
   * but it starts at the same byte.
   */
  release (bytes: Uint8Array): void
}

/** Plain garbage-collected memory, for everything that is written once and kept. */
export const heapAllocator: ByteAllocator = {
  allocate: (minBytes) => new Uint8Array(minBytes),
  release: () => {}
}

/** Frame sizes are written with 32-bit arithmetic; nothing sensible comes near. */
const MAX_BYTES = 2 ** 32 - 1
/** One large message does not make the next one large. */
const MAX_EXPECTED_BYTES = 64 * 1024
const NO_VIEW = new DataView(NO_BYTES.buffer)

/** See the head of this file. */
export class ByteWriter {
  /** The memory of now: valid until the next `reserve`, `take` or `discard`. */
  bytes: Uint8Array = NO_BYTES
  /** The same memory for numbers. */
  view: DataView = NO_VIEW
  /** Where the next byte goes: how many are written. Whoever stores bytes moves it; lowering it unwrites. */
  position = 0
  /** How much was written the last time: the next time will want about as much. */
  #expected = 0
  readonly #allocator: ByteAllocator

  /** Nothing is allocated before the first `reserve`. */
  constructor (allocator: ByteAllocator = heapAllocator) {
    this.#allocator = allocator
  }

  /** Makes room for `byteCount` more bytes and answers `position`, where they go. */
  reserve (byteCount: number): number {
    if (this.position + byteCount > this.bytes.length) this.#grow(this.position + byteCount)
    return this.position
  }

  /**
   * Hands out what is written and forgets it: from now on the bytes are the caller's, who gives them to the
   * allocator's `release` when they have been used.
   */
  take (): Uint8Array {
    if (this.position === 0) return NO_BYTES
    const written = this.bytes.subarray(0, this.position)
    this.#expected = Math.min(this.position, MAX_EXPECTED_BYTES)
    this.#use(NO_BYTES)
    return written
  }

  /** Throws away what is written and returns the memory. */
  discard (): void {
    const { bytes } = this
    this.#use(NO_BYTES)
    if (bytes.length > 0) this.#allocator.release(bytes)
  }

  #grow (needed: number): void {
    if (needed > MAX_BYTES) throw new RangeError(`cannot write ${needed} bytes at once`)
    const { bytes, position } = this
    const grown = this.#allocator.allocate(Math.max(needed, bytes.length === 0 ? this.#expected : Math.min(bytes.length * 2, MAX_BYTES)))
    grown.set(bytes.subarray(0, position))
    this.#use(grown)
    this.position = position
    if (bytes.length > 0) this.#allocator.release(bytes)
  }

  #use (bytes: Uint8Array): void {
    this.bytes = bytes
    this.view = bytes.length === 0 ? NO_VIEW : new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.position = 0
  }
}
