/**
 * Reads the raw snappy block format (github.com/google/snappy, format_description.txt) from a peer that is
 * not trusted: every length and offset is checked before it is used, and nothing is allocated that the
 * input could not fill. Can pause between two elements.
 */
import { corrupt, tooLarge } from './failure.js'

const NAME = 'snappy'
/** An element of three bytes yields 64 bytes at most; no element does better. */
const MAX_RATIO = 22

/** One decompression. The output is memory of its own. */
export class SnappyDecoder {
  readonly #input: Uint8Array
  readonly #output: Uint8Array
  #read = 0
  #written = 0

  /** Reads the length and allocates the output. @throws RpcError, as types/compressor.ts says. */
  constructor (input: Uint8Array, maxBytes: number) {
    this.#input = input
    const length = this.#readLength()
    if (length > maxBytes) throw tooLarge(NAME, maxBytes)
    // A length that the elements cannot reach is a lie; believing it would make a few bytes cost maxBytes.
    if (length > (input.length - this.#read) * MAX_RATIO) throw corrupt(NAME, 'the length is more than the input can hold')
    this.#output = new Uint8Array(length)
  }

  /** How many bytes the result has. */
  get length (): number {
    return this.#output.length
  }

  /** Writes about so many bytes more; true when the block is complete and valid. @throws RpcError when it is not. */
  step (bytes: number): boolean {
    const input = this.#input
    const output = this.#output
    const end = input.length
    const until = this.#written + bytes
    let read = this.#read
    let written = this.#written

    while (read < end && written < until) {
      const tag = input[read++]!
      let length = (tag >>> 2) + 1
      let offset: number
      switch (tag & 3) {
        case 0: {
          if (length > 60) {
            const size = length - 60 // bytes of the length, little-endian
            if (read + size > end) throw corrupt(NAME, 'truncated')
            length = 1
            for (let i = 0, unit = 1; i < size; i++, unit *= 0x100) length += input[read++]! * unit
          }
          if (length > end - read) throw corrupt(NAME, 'truncated')
          if (length > output.length - written) throw corrupt(NAME, 'more bytes than its length says')
          if (length <= 16) {
            for (let i = 0; i < length; i++) output[written + i] = input[read + i]!
          } else {
            output.set(input.subarray(read, read + length), written)
          }
          read += length
          written += length
          continue
        }
        case 1:
          if (read >= end) throw corrupt(NAME, 'truncated')
          length = ((tag >>> 2) & 7) + 4
          offset = ((tag >>> 5) << 8) | input[read++]!
          break
        case 2:
          if (read + 2 > end) throw corrupt(NAME, 'truncated')
          offset = input[read]! | (input[read + 1]! << 8)
          read += 2
          break
        default:
          if (read + 4 > end) throw corrupt(NAME, 'truncated')
          offset = (input[read]! | (input[read + 1]! << 8) | (input[read + 2]! << 16) | (input[read + 3]! << 24)) >>> 0
          read += 4
      }
      if (offset === 0 || offset > written) throw corrupt(NAME, 'a copy from before the start')
      if (length > output.length - written) throw corrupt(NAME, 'more bytes than its length says')
      // Byte by byte and forwards: source and target may overlap, which repeats the bytes between them.
      for (const stop = written + length; written < stop; written++) output[written] = output[written - offset]!
    }

    this.#read = read
    this.#written = written
    if (read < end) return false
    if (written !== output.length) throw corrupt(NAME, 'fewer bytes than its length says')
    return true
  }

  /** The bytes; complete once `step` has returned true. */
  result (): Uint8Array {
    return this.#output
  }

  #readLength (): number {
    let length = 0
    for (let i = 0, unit = 1; i < 5; i++, unit *= 0x80) {
      if (i >= this.#input.length) throw corrupt(NAME, 'truncated')
      const byte = this.#input[this.#read++]!
      length += (byte & 0x7f) * unit
      if (byte < 0x80) {
        if (length > 0xffffffff) break
        return length
      }
    }
    throw corrupt(NAME, 'the length is no 32-bit number')
  }
}
