/**
 * Writes the raw snappy block format: a varint with the length, then literals and copies
 * (github.com/google/snappy, format_description.txt). The input is cut into fragments of 64 KiB that know
 * nothing of each other, as every implementation does, so the work can pause between two of them.
 */

const FRAGMENT = 1 << 16
const TABLE_BITS = 14
/** Where a match may begin at the latest: the loads of four bytes ahead of it stay inside. */
const INPUT_MARGIN = 15

// Positions inside the fragment, by the hash of the four bytes there. One for all encoders: a fragment is
// compressed without interruption and begins with an empty table.
const table = new Uint16Array(1 << TABLE_BITS)

/** One compression. Reads the input until it is done, so the input must not change in between. */
export class SnappyEncoder {
  readonly #input: Uint8Array
  readonly #output: Uint8Array
  #read = 0
  #written = 0

  constructor (input: Uint8Array) {
    this.#input = input
    // The worst case by the format's authors: a copy that saves nothing between incompressible literals.
    this.#output = new Uint8Array(32 + input.length + Math.floor(input.length / 6))
    let rest = input.length
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#output[this.#written++] = (rest & 0x7f) | 0x80
    this.#output[this.#written++] = rest
  }

  /** Compresses about so many bytes more; true when all are. */
  step (bytes: number): boolean {
    const until = Math.min(this.#input.length, this.#read + bytes)
    while (this.#read < until) {
      const end = Math.min(this.#read + FRAGMENT, this.#input.length)
      this.#written = compressFragment(this.#input, this.#read, end, this.#output, this.#written)
      this.#read = end
    }
    return this.#read === this.#input.length
  }

  /** The block, in memory of its own; valid once `step` has returned true. */
  result (): Uint8Array {
    return this.#output.slice(0, this.#written)
  }
}

function load32 (bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/** Compresses input[start, end) to output[op...) and returns where the output ends. */
function compressFragment (input: Uint8Array, start: number, end: number, output: Uint8Array, op: number): number {
  const length = end - start
  let literal = start // the first byte that is not written yet
  if (length > INPUT_MARGIN) {
    let bits = 8
    while (bits < TABLE_BITS && (1 << bits) < length) bits++
    const shift = 32 - bits
    table.fill(0, 0, 1 << bits)
    const last = end - INPUT_MARGIN

    let at = start + 1
    // The longer nothing matches, the larger the strides: incompressible input costs little.
    for (let misses = 32; at <= last;) {
      const value = load32(input, at)
      const hash = Math.imul(value, 0x1e35a7bd) >>> shift
      const candidate = start + table[hash]!
      table[hash] = at - start
      if (load32(input, candidate) !== value) {
        at += misses++ >>> 5
        continue
      }

      if (literal < at) op = emitLiteral(input, literal, at, output, op)
      let matched = 4
      while (at + matched < end && input[candidate + matched] === input[at + matched]) matched++
      op = emitCopy(at - candidate, matched, output, op)
      at += matched
      literal = at
      // The byte before the next position often begins the next match.
      if (at <= last) table[Math.imul(load32(input, at - 1), 0x1e35a7bd) >>> shift] = at - 1 - start
      misses = 32
    }
  }
  return literal < end ? emitLiteral(input, literal, end, output, op) : op
}

/** A literal of 1 to 65,536 bytes. */
function emitLiteral (input: Uint8Array, from: number, to: number, output: Uint8Array, op: number): number {
  const n = to - from - 1
  if (n < 60) {
    output[op++] = n << 2
  } else if (n < 0x100) {
    output[op++] = 60 << 2
    output[op++] = n
  } else {
    output[op++] = 61 << 2
    output[op++] = n
    output[op++] = n >>> 8
  }
  if (n < 32) {
    while (from < to) output[op++] = input[from++]!
    return op
  }
  output.set(input.subarray(from, to), op)
  return op + n + 1
}

/** A copy of at least 4 bytes from at most 65,535 bytes before, as elements of at most 64 bytes. */
function emitCopy (offset: number, length: number, output: Uint8Array, op: number): number {
  // The last element must be 4 bytes at least, or the short form of two bytes could not carry it.
  while (length >= 68) {
    op = emitLongCopy(offset, 64, output, op)
    length -= 64
  }
  if (length > 64) {
    op = emitLongCopy(offset, 60, output, op)
    length -= 60
  }
  if (length >= 12 || offset >= 2048) return emitLongCopy(offset, length, output, op)
  output[op++] = 1 | ((length - 4) << 2) | ((offset >>> 8) << 5)
  output[op++] = offset
  return op
}

function emitLongCopy (offset: number, length: number, output: Uint8Array, op: number): number {
  output[op++] = 2 | ((length - 1) << 2)
  output[op++] = offset
  output[op++] = offset >>> 8
  return op
}
