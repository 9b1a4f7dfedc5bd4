/**
 * The two entropy codes of zstd (RFC 8878, section 4): FSE and Huffman, their tables and their bitstreams,
 * which are read backwards. Everything here reads bytes of a peer that is not trusted; nothing reads or
 * writes outside its arrays.
 */
import { corrupt } from './failure.js'
import { ZSTD } from './zstd-frame.js'

const MAX_HUFFMAN_BITS = 11
const MAX_WEIGHT_LOG = 6

/** Reads bits from the last to the first. A read beyond the beginning yields zeros and leaves `left` negative. */
export class BackwardBits {
  readonly #bytes: Uint8Array
  readonly #start: number
  /** Bits not read yet. */
  left: number

  /** The highest bit that is set in the last byte only marks the end. */
  constructor (bytes: Uint8Array, start: number, end: number) {
    const last = end > start ? bytes[end - 1]! : 0
    if (last === 0) throw corrupt(ZSTD, 'a bitstream without its end')
    this.#bytes = bytes
    this.#start = start
    this.left = (end - start) * 8 - Math.clz32(last) + 23
  }

  /** The next 0 to 24 bits without taking them. */
  peek (count: number): number {
    const at = this.left - count
    if (at >= 0) return this.#at(at) & ((1 << count) - 1)
    return this.left <= 0 ? 0 : (this.#at(0) & ((1 << this.left) - 1)) << -at
  }

  /** Takes 0 to 24 bits. */
  read (count: number): number {
    const value = this.peek(count)
    this.left -= count
    return value
  }

  #at (bit: number): number {
    const bytes = this.#bytes
    const i = this.#start + (bit >> 3)
    return (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)) >>> (bit & 7)
  }
}

/** A decoding table: what each state stands for and where it leads. */
export class FseTable {
  readonly log: number
  readonly symbols: Uint8Array
  readonly bits: Uint8Array
  readonly bases: Uint16Array

  /** From the normalized counts of the symbols, whose sum is 2^log; -1 is "less than one". */
  constructor (counts: ArrayLike<number>, log: number) {
    const size = 1 << log
    this.log = log
    this.symbols = new Uint8Array(size)
    this.bits = new Uint8Array(size)
    this.bases = new Uint16Array(size)

    const next = new Uint16Array(counts.length)
    let high = size
    for (let symbol = 0; symbol < counts.length; symbol++) {
      if (counts[symbol] === -1) this.symbols[--high] = symbol
      next[symbol] = Math.abs(counts[symbol]!)
    }
    const step = (size >> 1) + (size >> 3) + 3
    let at = 0
    for (let symbol = 0; symbol < counts.length; symbol++) {
      for (let i = counts[symbol]!; i > 0; i--) {
        this.symbols[at] = symbol
        do at = (at + step) & (size - 1)
        while (at >= high)
      }
    }
    for (let state = 0; state < size; state++) {
      const rank = next[this.symbols[state]!]!++
      const bits = log - 31 + Math.clz32(rank)
      this.bits[state] = bits
      this.bases[state] = (rank << bits) - size
    }
  }

  /** One symbol and no bits. */
  static single (symbol: number): FseTable {
    const table = new FseTable([1], 0)
    table.symbols[0] = symbol
    return table
  }
}

/** Reads the counts at `at`; returns the table and the offset behind them. */
export function readFseTable (bytes: Uint8Array, at: number, end: number, maxLog: number, maxSymbol: number): { table: FseTable, end: number } {
  let bit = at * 8
  const limit = end * 8
  const peek = (count: number): number => {
    const i = bit >> 3
    return ((bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16)) >>> (bit & 7)) & ((1 << count) - 1)
  }

  const log = peek(4) + 5
  bit += 4
  if (bit > limit || log > maxLog) throw corrupt(ZSTD, 'a bad FSE table')
  const counts: number[] = []
  let rest = 1 << log
  while (rest > 0 && counts.length <= maxSymbol && bit <= limit) {
    // A value from 0 to rest + 1, the smaller ones in one bit less.
    const bits = 32 - Math.clz32(rest + 1)
    const short = (1 << bits) - 2 - rest
    let value = peek(bits)
    const low = value & ((1 << (bits - 1)) - 1)
    if (low < short) {
      value = low
      bit += bits - 1
    } else {
      if (value >= 1 << (bits - 1)) value -= short
      bit += bits
    }
    const count = value - 1
    rest -= Math.abs(count)
    counts.push(count)
    if (count !== 0) continue
    let zeros: number // follow, 3 being continued
    do {
      zeros = peek(2)
      bit += 2
      for (let i = 0; i < zeros; i++) counts.push(0)
    } while (zeros === 3 && counts.length <= maxSymbol)
  }
  if (rest !== 0 || counts.length > maxSymbol + 1 || bit > limit) throw corrupt(ZSTD, 'a bad FSE table')
  return { table: new FseTable(counts, log), end: (bit + 7) >> 3 }
}

/** A decoding table: for every value of the next `bits` bits the symbol in the low and its length in the high byte. */
export interface HuffmanTable {
  bits: number
  entries: Uint16Array
}

/** Reads the description of a tree at `at`; returns the table and the offset behind it. */
export function readHuffmanTable (bytes: Uint8Array, at: number, end: number): { table: HuffmanTable, end: number } {
  if (at >= end) throw corrupt(ZSTD, 'truncated')
  const header = bytes[at++]!
  if (header < 128) {
    if (header > end - at) throw corrupt(ZSTD, 'truncated')
    return { table: huffmanTable(readCodedWeights(bytes, at, at + header)), end: at + header }
  }
  const count = header - 127
  const length = (count + 1) >> 1
  if (length > end - at) throw corrupt(ZSTD, 'truncated')
  const weights: number[] = []
  for (let i = 0; i < count; i++) weights.push((bytes[at + (i >> 1)]! >>> (i & 1 ? 0 : 4)) & 15)
  return { table: huffmanTable(weights), end: at + length }
}

/** Two FSE states in turns, until the bits are used up. */
function readCodedWeights (bytes: Uint8Array, at: number, end: number): number[] {
  const { table, end: start } = readFseTable(bytes, at, end, MAX_WEIGHT_LOG, MAX_HUFFMAN_BITS + 1)
  const bits = new BackwardBits(bytes, start, end)
  let state = bits.read(table.log)
  let other = bits.read(table.log)
  if (bits.left < 0) throw corrupt(ZSTD, 'a bad Huffman tree')
  const weights: number[] = []
  for (;;) {
    weights.push(table.symbols[state]!)
    if (weights.length > 254) throw corrupt(ZSTD, 'a bad Huffman tree')
    const next = table.bases[state]! + bits.read(table.bits[state]!)
    if (bits.left < 0) {
      weights.push(table.symbols[other]!)
      return weights
    }
    state = other
    other = next
  }
}

/** The weight of the last symbol is what is missing to a power of two. */
function huffmanTable (weights: number[]): HuffmanTable {
  let sum = 0
  for (const weight of weights) {
    if (weight > MAX_HUFFMAN_BITS) throw corrupt(ZSTD, 'a bad Huffman tree')
    if (weight > 0) sum += 1 << (weight - 1)
  }
  const bits = 32 - Math.clz32(sum)
  const rest = (1 << bits) - sum
  if (sum === 0 || bits > MAX_HUFFMAN_BITS || (rest & (rest - 1)) !== 0) throw corrupt(ZSTD, 'a bad Huffman tree')
  weights.push(32 - Math.clz32(rest))

  // Symbols of small weight have the long codes and come first, each over 2^(weight - 1) entries.
  const starts = new Uint16Array(MAX_HUFFMAN_BITS + 2)
  for (const weight of weights) if (weight > 0) starts[weight + 1]! += 1 << (weight - 1)
  // Of a complete tree at least two codes have the full length, and their number is even.
  if (starts[2]! < 2 || (starts[2]! & 1) !== 0) throw corrupt(ZSTD, 'a bad Huffman tree')
  for (let weight = 1; weight < starts.length; weight++) starts[weight]! += starts[weight - 1]!
  const entries = new Uint16Array(1 << bits)
  for (const [symbol, weight] of weights.entries()) {
    if (weight === 0) continue
    const start = starts[weight]!
    const end = start + (1 << (weight - 1))
    entries.fill(symbol | ((bits + 1 - weight) << 8), start, end)
    starts[weight] = end
  }
  return { bits, entries }
}

/** Decodes bytes[from, to) to fill output[at, end); they must use each other up exactly. */
export function decodeHuffman (table: HuffmanTable, bytes: Uint8Array, from: number, to: number, output: Uint8Array, at: number, end: number): void {
  const stream = new BackwardBits(bytes, from, to)
  const { bits, entries } = table
  while (at < end && stream.left > 0) {
    const entry = entries[stream.peek(bits)]!
    stream.left -= entry >>> 8
    output[at++] = entry
  }
  if (at < end || stream.left !== 0) throw corrupt(ZSTD, 'a bad Huffman stream')
}
