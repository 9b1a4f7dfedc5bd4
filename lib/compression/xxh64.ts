/**
 * XXH64 with seed 0, of which zstd's checksum is the low half (RFC 8878, section 3.1.1; algorithm:
 * github.com/Cyan4973/xxHash, doc/xxhash_spec.md). 64-bit numbers are pairs of 32-bit halves: BigInt would
 * be some fifty times slower.
 */

// The primes, as high and low half.
const P1H = 0x9e3779b1; const P1L = 0x85ebca87
const P2H = 0xc2b2ae3d; const P2L = 0x27d4eb4f
const P3H = 0x165667b1; const P3L = 0x9e3779f9
const P4H = 0x85ebca77; const P4L = 0xc2b2ae63
const P5H = 0x27d4eb2f; const P5L = 0x165667c5

/** A 64-bit register: two 32-bit halves, signed as bit operations leave them. */
class Word {
  high: number
  low: number

  constructor (high: number, low: number) {
    this.high = high | 0
    this.low = low | 0
  }

  multiply (high: number, low: number): this {
    this.high = (multiplyHigh(this.low, low >>> 16, low & 0xffff) + Math.imul(this.high, low) + Math.imul(this.low, high)) | 0
    this.low = Math.imul(this.low, low)
    return this
  }

  add (high: number, low: number): this {
    const sum = (this.low >>> 0) + (low >>> 0)
    this.high = (this.high + high + (sum > 0xffffffff ? 1 : 0)) | 0
    this.low = sum | 0
    return this
  }

  xor (high: number, low: number): this {
    this.high ^= high
    this.low ^= low
    return this
  }

  /** By 1 to 31 bits. */
  rotate (bits: number): this {
    const high = this.high
    this.high = (high << bits) | (this.low >>> (32 - bits))
    this.low = (this.low << bits) | (high >>> (32 - bits))
    return this
  }

  /** xor with itself shifted right by 1 to 63 bits. */
  fold (bits: number): this {
    return bits < 32
      ? this.xor(this.high >>> bits, (this.low >>> bits) | (this.high << (32 - bits)))
      : this.xor(0, this.high >>> (bits - 32))
  }
}

/** The high half, mod 2^32, of a 32-bit product; the second factor comes as halves of 16 bits. */
function multiplyHigh (a: number, b1: number, b0: number): number {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  // Both sums are below 2^32, so nothing is lost when they are kept as 32-bit integers, which V8 likes.
  const middle = (Math.imul(a1, b0) + (Math.imul(a0, b0) >>> 16)) | 0
  const other = (Math.imul(a0, b1) + (middle & 0xffff)) | 0
  return (Math.imul(a1, b1) + (middle >>> 16) + (other >>> 16)) | 0
}

/** Hashes bytes that lie, or come to lie, one behind the other in an array that grows. */
export class Xxh64 {
  readonly #start: number
  #at: number
  readonly #lanes = [
    new Word(P1H, P1L).add(P2H, P2L),
    new Word(P2H, P2L),
    new Word(0, 0),
    new Word(~P1H, ~P1L).add(0, 1) // -P1
  ]

  /** @param start offset of the first byte */
  constructor (start: number) {
    this.#start = this.#at = start
  }

  /** Hashes what can be hashed before `end`. The array may be another than the last time, with the same content so far. */
  update (bytes: Uint8Array, end: number): void {
    const stop = end - (end - this.#at) % 32
    for (let i = 0; i < 4; i++) absorb(this.#lanes[i]!, bytes, this.#at + 8 * i, stop)
    this.#at = stop
  }

  /** The low half of the hash, unsigned, of everything before `end`, which is the last byte there is. */
  low (bytes: Uint8Array, end: number): number {
    this.update(bytes, end)
    const length = end - this.#start
    const hash = length >= 32 ? this.#converge() : new Word(P5H, P5L)
    hash.add(Math.floor(length / 2 ** 32), length | 0)

    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let at = this.#at
    for (; at + 8 <= end; at += 8) {
      const lane = round(view.getInt32(at + 4, true), view.getInt32(at, true))
      hash.xor(lane.high, lane.low).rotate(27).multiply(P1H, P1L).add(P4H, P4L)
    }
    if (at + 4 <= end) {
      const lane = new Word(0, view.getInt32(at, true)).multiply(P1H, P1L)
      hash.xor(lane.high, lane.low).rotate(23).multiply(P2H, P2L).add(P3H, P3L)
      at += 4
    }
    for (; at < end; at++) {
      const lane = new Word(0, bytes[at]!).multiply(P5H, P5L)
      hash.xor(lane.high, lane.low).rotate(11).multiply(P1H, P1L)
    }
    return hash.fold(33).multiply(P2H, P2L).fold(29).multiply(P3H, P3L).fold(32).low >>> 0
  }

  #converge (): Word {
    const hash = new Word(0, 0)
    for (const [i, lane] of this.#lanes.entries()) {
      const turned = new Word(lane.high, lane.low).rotate([1, 7, 12, 18][i]!)
      hash.add(turned.high, turned.low)
    }
    for (const lane of this.#lanes) {
      const merged = round(lane.high, lane.low)
      hash.xor(merged.high, merged.low).multiply(P1H, P1L).add(P4H, P4L)
    }
    return hash
  }
}

/** The specification's `round` of an empty lane. */
function round (high: number, low: number): Word {
  return new Word(high, low).multiply(P2H, P2L).rotate(31).multiply(P1H, P1L)
}

/** The specification's `round` of this lane with every fourth 8 bytes: in local variables, ten times as fast as by methods. */
function absorb (lane: Word, bytes: Uint8Array, from: number, stop: number): void {
  let { high, low } = lane
  for (let at = from; at < stop; at += 32) {
    const inLow = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    const inHigh = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)
    // lane += input * P2
    const sum = (low >>> 0) + (Math.imul(inLow, P2L) >>> 0)
    high = (high + multiplyHigh(inLow, P2L >>> 16, P2L & 0xffff) + Math.imul(inHigh, P2L) + Math.imul(inLow, P2H) + (sum > 0xffffffff ? 1 : 0)) | 0
    low = sum | 0
    // rotate by 31, then lane *= P1
    const turnedHigh = (high << 31) | (low >>> 1)
    const turnedLow = (low << 31) | (high >>> 1)
    high = (multiplyHigh(turnedLow, P1L >>> 16, P1L & 0xffff) + Math.imul(turnedHigh, P1L) + Math.imul(turnedLow, P1H)) | 0
    low = Math.imul(turnedLow, P1L)
  }
  lane.high = high
  lane.low = low
}
