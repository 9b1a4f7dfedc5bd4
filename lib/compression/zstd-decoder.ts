/**
 * Decodes one zstd frame (RFC 8878, section 3) that zstd-frame.ts has scanned, block by block. For input
 * that is not trusted: every copy is checked against what is decoded so far and against the limits of block
 * and output, so work and memory are bounded by input and limit. It knows no dictionaries.
 */
import { corrupt, tooLarge } from './failure.js'
import type { GrowingOutput } from './growing-output.js'
import { Xxh64 } from './xxh64.js'
import { BackwardBits, decodeHuffman, FseTable, readFseTable, readHuffmanTable } from './zstd-entropy.js'
import type { HuffmanTable } from './zstd-entropy.js'
import { BlockType, readBlockHeader, ZSTD } from './zstd-frame.js'
import type { ZstdFrame } from './zstd-frame.js'

/** One of the three kinds of numbers in a sequence: the default and the limits of its table. */
interface Code {
  default: FseTable
  maxLog: number
  maxSymbol: number
}

// Section 3.1.1.3.2.2: the default counts.
const LITERAL_LENGTH: Code = {
  default: new FseTable([4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1], 6),
  maxLog: 9,
  maxSymbol: 35
}
const MATCH_LENGTH: Code = {
  default: new FseTable([1, 4, 3, 2, 2, 2, 2, 2, 2, ...new Array<number>(37).fill(1), -1, -1, -1, -1, -1, -1, -1], 6),
  maxLog: 9,
  maxSymbol: 52
}
const OFFSET: Code = {
  default: new FseTable([1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1], 5),
  maxLog: 8,
  maxSymbol: 31
}

// Section 3.1.1.3.2.1.1: a code stands for a range, so many further bits say where in it.
const LITERAL_LENGTH_BITS = [...new Array<number>(16).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
const MATCH_LENGTH_BITS = [...new Array<number>(32).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
// Two ranges are not where the one before ends.
const LITERAL_LENGTH_BASES = bases(LITERAL_LENGTH_BITS, 0)
const MATCH_LENGTH_BASES = bases(MATCH_LENGTH_BITS, 3)

function bases (bits: number[], first: number): number[] {
  let base = first
  return bits.map(bits => {
    const start = base
    base += 2 ** bits
    return start
  })
}

/** Bytes of the input from `at` to `end`, and how far they are read. */
interface Cursor {
  at: number
  end: number
}

/** Decodes one frame to the end of an output, one block for each `step`. */
export class ZstdFrameDecoder {
  readonly #bytes: Uint8Array
  readonly #frame: ZstdFrame
  readonly #output: GrowingOutput
  /** Where the frame's content begins in the output; no copy reaches farther back. */
  readonly #start: number
  /** What the output may hold when the frame is done. */
  readonly #limit: number
  readonly #sum: Xxh64 | undefined
  #at: number

  // What one block leaves to the next.
  #huffman: HuffmanTable | undefined
  #literalLengths: FseTable | undefined
  #offsets: FseTable | undefined
  #matchLengths: FseTable | undefined
  readonly #recent: [number, number, number] = [1, 4, 8]

  #literals: Uint8Array = new Uint8Array(0)

  /** @param maxBytes the limit of the whole output */
  constructor (bytes: Uint8Array, frame: ZstdFrame, output: GrowingOutput, maxBytes: number) {
    this.#bytes = bytes
    this.#frame = frame
    this.#output = output
    this.#start = output.length
    this.#limit = frame.contentSize === undefined ? maxBytes : output.length + frame.contentSize
    this.#sum = frame.hasChecksum ? new Xxh64(output.length) : undefined
    this.#at = frame.blocks
  }

  /** Decodes the next block; true when it was the last and all is right. @throws RpcError, as types/compressor.ts says. */
  step (): boolean {
    const { isLast, type, size } = readBlockHeader(this.#bytes, this.#at)
    const at = this.#at + 3
    const output = this.#output
    if (type === BlockType.Compressed) {
      this.#decodeBlock({ at, end: at + size })
      this.#at = at + size
    } else {
      if (size > this.#limit - output.length) throw this.#overflow()
      const target = output.reserve(size)
      if (type === BlockType.Raw) target.set(this.#bytes.subarray(at, at + size), output.length)
      else target.fill(this.#bytes[at]!, output.length, output.length + size)
      output.length += size
      this.#at = at + (type === BlockType.Raw ? size : 1)
    }
    this.#sum?.update(output.bytes, output.length)
    if (isLast) this.#check()
    return isLast
  }

  #check (): void {
    const { contentSize, end } = this.#frame
    const { bytes, length } = this.#output
    if (contentSize !== undefined && length !== this.#limit) throw corrupt(ZSTD, 'fewer bytes than its content size says')
    if (this.#sum === undefined) return
    const sum = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + end - 4, 4).getUint32(0, true)
    if (this.#sum.low(bytes, length) !== sum) throw corrupt(ZSTD, 'wrong checksum')
  }

  /** More output than there may be: a lie where the header says how much there is. */
  #overflow (): Error {
    return this.#frame.contentSize === undefined ? tooLarge(ZSTD, this.#limit) : corrupt(ZSTD, 'more bytes than its content size says')
  }

  /** Section 3.1.1.3: literals, then sequences, each being so many literals and a copy. */
  #decodeBlock (input: Cursor): void {
    const literals = this.#readLiterals(input)
    const count = this.#readCount(input)
    if (count === 0) {
      if (input.at !== input.end) throw corrupt(ZSTD, 'bytes behind the literals')
      this.#reserve(literals.length).set(literals, this.#output.length)
      this.#output.length += literals.length
      return
    }
    if (input.at >= input.end) throw corrupt(ZSTD, 'truncated')
    const modes = this.#bytes[input.at++]!
    if ((modes & 3) !== 0) throw corrupt(ZSTD, 'a reserved bit is set')
    this.#literalLengths = this.#readTable(input, modes >>> 6, LITERAL_LENGTH, this.#literalLengths)
    this.#offsets = this.#readTable(input, (modes >>> 4) & 3, OFFSET, this.#offsets)
    this.#matchLengths = this.#readTable(input, (modes >>> 2) & 3, MATCH_LENGTH, this.#matchLengths)
    this.#runSequences(literals, count, new BackwardBits(this.#bytes, input.at, input.end),
      this.#literalLengths, this.#offsets, this.#matchLengths)
  }

  /** Room for a whole block, whose size is checked here. */
  #reserve (size: number): Uint8Array {
    if (size > this.#frame.maxBlock) throw corrupt(ZSTD, 'a block that yields too much')
    if (size > this.#limit - this.#output.length) throw this.#overflow()
    return this.#output.reserve(size)
  }

  /** The literals; a view that the next block overwrites. */
  #readLiterals (input: Cursor): Uint8Array {
    const bytes = this.#bytes
    if (input.end - input.at < 2) throw corrupt(ZSTD, 'truncated')
    const first = bytes[input.at]!
    const type = first & 3
    const format = (first >>> 2) & 3
    const isPlain = type < 2
    // Plain: a size of 5, 12, 5 or 20 bits. Otherwise two sizes of 10, 10, 14 or 18 bits each.
    const headerBytes = isPlain ? [1, 2, 1, 3][format]! : [3, 3, 4, 5][format]!
    if (headerBytes > input.end - input.at) throw corrupt(ZSTD, 'truncated')
    let header = 0
    for (let i = headerBytes - 1; i >= 0; i--) header = header * 0x100 + bytes[input.at + i]!
    input.at += headerBytes

    const bits = [10, 10, 14, 18][format]!
    const size = isPlain ? Math.floor(header / (headerBytes === 1 ? 8 : 16)) : Math.floor(header / 16) % 2 ** bits
    const length = isPlain ? (type === 0 ? size : 1) : Math.floor(header / 2 ** (4 + bits))
    if (length > input.end - input.at) throw corrupt(ZSTD, 'truncated')
    // All literals become output, so what is too much for it need not be decoded.
    if (size > this.#frame.maxBlock) throw corrupt(ZSTD, 'a block that yields too much')
    if (size > this.#limit - this.#output.length) throw this.#overflow()
    const from = input.at
    const to = input.at = from + length
    if (type === 0) return bytes.subarray(from, to)

    if (this.#literals.length < size) this.#literals = new Uint8Array(Math.min(Math.max(size, this.#literals.length * 2), this.#frame.maxBlock))
    const literals = this.#literals.subarray(0, size)
    if (type === 1) return literals.fill(bytes[from]!)
    this.#decodeLiterals(literals, type === 2, format === 0, { at: from, end: to })
    return literals
  }

  #decodeLiterals (literals: Uint8Array, hasTree: boolean, isOneStream: boolean, input: Cursor): void {
    const bytes = this.#bytes
    if (hasTree) {
      const { table, end } = readHuffmanTable(bytes, input.at, input.end)
      this.#huffman = table
      input.at = end
    }
    const table = this.#huffman
    if (table === undefined) throw corrupt(ZSTD, 'no Huffman tree to repeat')
    if (isOneStream) return decodeHuffman(table, bytes, input.at, input.end, literals, 0, literals.length)

    // Four streams, of which the last has what is left; the lengths of the first three come first.
    if (input.end - input.at < 6) throw corrupt(ZSTD, 'truncated')
    const quarter = (literals.length + 3) >> 2
    if (quarter * 3 > literals.length) throw corrupt(ZSTD, 'too few literals for four streams')
    let from = input.at + 6
    for (let i = 0; i < 4; i++) {
      const to = i === 3 ? input.end : from + (bytes[input.at + 2 * i]! | (bytes[input.at + 2 * i + 1]! << 8))
      if (to > input.end) throw corrupt(ZSTD, 'truncated')
      decodeHuffman(table, bytes, from, to, literals, quarter * i, i === 3 ? literals.length : quarter * (i + 1))
      from = to
    }
  }

  /** How many sequences the block has. */
  #readCount (input: Cursor): number {
    const bytes = this.#bytes
    const first = input.at < input.end ? bytes[input.at]! : 255
    const length = first < 128 ? 1 : first < 255 ? 2 : 3
    if (length > input.end - input.at) throw corrupt(ZSTD, 'truncated')
    const at = input.at
    input.at += length
    if (length === 1) return first
    return length === 2 ? ((first - 128) << 8) + bytes[at + 1]! : bytes[at + 1]! + (bytes[at + 2]! << 8) + 0x7f00
  }

  #readTable (input: Cursor, mode: number, code: Code, previous: FseTable | undefined): FseTable {
    switch (mode) {
      case 0:
        return code.default
      case 1: {
        const symbol = input.at < input.end ? this.#bytes[input.at++]! : 255
        if (symbol > code.maxSymbol) throw corrupt(ZSTD, 'a bad FSE table')
        return FseTable.single(symbol)
      }
      case 2: {
        const { table, end } = readFseTable(this.#bytes, input.at, input.end, code.maxLog, code.maxSymbol)
        input.at = end
        return table
      }
      default:
        if (previous === undefined) throw corrupt(ZSTD, 'no FSE table to repeat')
        return previous
    }
  }

  #runSequences (literals: Uint8Array, count: number, bits: BackwardBits, literalLengths: FseTable, offsets: FseTable, matchLengths: FseTable): void {
    const blockStart = this.#output.length
    let target = this.#output.reserve(Math.min(this.#frame.maxBlock, literals.length * 2 + count * 8))
    let written = blockStart
    let used = 0 // literals
    let literalState = bits.read(literalLengths.log)
    let offsetState = bits.read(offsets.log)
    let matchState = bits.read(matchLengths.log)

    for (let i = count; i > 0; i--) {
      const offsetCode = offsets.symbols[offsetState]!
      // The larger ones reach back half a gibibyte or more, beyond any window that is accepted.
      if (offsetCode > 28) throw corrupt(ZSTD, 'a copy from too far back')
      const offsetValue = offsetCode <= 24
        ? (1 << offsetCode) + bits.read(offsetCode)
        : (1 << offsetCode) + (bits.read(offsetCode - 16) << 16) + bits.read(16)
      const matchCode = matchLengths.symbols[matchState]!
      const matchLength = MATCH_LENGTH_BASES[matchCode]! + bits.read(MATCH_LENGTH_BITS[matchCode]!)
      const literalCode = literalLengths.symbols[literalState]!
      const literalLength = LITERAL_LENGTH_BASES[literalCode]! + bits.read(LITERAL_LENGTH_BITS[literalCode]!)
      if (i > 1) {
        literalState = literalLengths.bases[literalState]! + bits.read(literalLengths.bits[literalState]!)
        matchState = matchLengths.bases[matchState]! + bits.read(matchLengths.bits[matchState]!)
        offsetState = offsets.bases[offsetState]! + bits.read(offsets.bits[offsetState]!)
      }
      if (bits.left < 0) throw corrupt(ZSTD, 'truncated')
      if (literalLength > literals.length - used) throw corrupt(ZSTD, 'more literals than there are')

      const end = written + literalLength + matchLength
      if (end > target.length || end - blockStart > this.#frame.maxBlock || end > this.#limit) {
        this.#output.length = written
        if (end - blockStart > this.#frame.maxBlock) throw corrupt(ZSTD, 'a block that yields too much')
        if (end > this.#limit) throw this.#overflow()
        target = this.#output.reserve(end - written)
      }
      for (const stop = written + literalLength; written < stop;) target[written++] = literals[used++]!
      const offset = this.#offset(offsetValue, literalLength)
      if (offset > written - this.#start) throw corrupt(ZSTD, 'a copy from before the start')
      if (matchLength > 32 && offset >= matchLength) {
        target.copyWithin(written, written - offset, written - offset + matchLength)
        written += matchLength
      } else {
        // Byte by byte and forwards: source and target may overlap, which repeats the bytes between them.
        for (; written < end; written++) target[written] = target[written - offset]!
      }
    }
    if (bits.left !== 0) throw corrupt(ZSTD, 'bits behind the sequences')

    this.#output.length = written
    const rest = literals.subarray(used)
    if (written + rest.length - blockStart > this.#frame.maxBlock) throw corrupt(ZSTD, 'a block that yields too much')
    this.#reserve(rest.length).set(rest, written)
    this.#output.length += rest.length
  }

  /** Section 3.1.1.5: values up to 3 name one of the last three offsets. */
  #offset (value: number, literalLength: number): number {
    const recent = this.#recent
    let offset = value - 3
    let place = 2
    if (value <= 3) {
      place = literalLength === 0 ? value : value - 1
      if (place === 0) return recent[0]
      offset = place === 3 ? recent[0] - 1 : recent[place]!
      if (offset === 0) throw corrupt(ZSTD, 'an offset of zero')
    }
    if (place > 1) recent[2] = recent[1]
    recent[1] = recent[0]
    recent[0] = offset
    return offset
  }
}
