/**
 * Gzip for browsers (protocol 1.0, section 4): fflate for small payloads, the platform's own streams for
 * large ones, which work off the main thread. fflate checks neither CRC nor end of the data and its one-shot
 * function has no limit; this file adds all three. Servers use node-gzip.ts.
 */
import { Gunzip, gzipSync } from 'fflate'
import type { Compressor } from '../../types/compressor.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import { Compression } from '../wire/message.js'
import { corrupt, tooLarge } from './failure.js'
import { claimedLength, MemberSum, MIN_MEMBER_BYTES } from './gzip-trailer.js'

const NAME = 'gzip'
/** From here on the platform's streams are worth their 100 us, in bytes of input or of claimed output. */
const STREAM_BYTES = 64 * 1024
/** Deflate yields at most 1,032 bytes for one, so a slice of input bounds what it can inflate to. */
const MAX_RATIO = 1032
const MIN_SLICE_BYTES = 1024
const MAX_SLICE_BYTES = 16 * 1024
/** fflate allocates 128 KiB for every member, however small it is; a payload needs one. */
const MAX_MEMBERS = 1024

/** How {@link gzip} works. */
export interface GzipOptions {
  /** 0 (store) to 9 (smallest) for small payloads, default 6; the platform's streams have a level of their own. */
  level?: GzipLevel
}

/** The levels of deflate. */
export type GzipLevel = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9

/**
 * Gzip, number 1 of the wire, without anything of Node. Payloads below 64 KiB are answered at once, larger
 * ones by a promise where the platform has CompressionStream, and the caller must not change the input
 * before it settles. Results are memory of their own. Input of several members (at most 1,024) is joined;
 * anything behind the last member is an error. While inflating up to twice the output is held.
 * @throws RpcError `CLAW_ERR_OPTION_INVALID`
 */
export function gzip (options: GzipOptions = {}): Compressor {
  const level = options.level ?? 6
  if (!Number.isInteger(level) || level < 0 || level > 9) {
    throw new RpcError(Category.InvalidArgument, 'gzip: level must be an integer from 0 to 9', { code: ErrorCode.OPTION_INVALID })
  }

  return {
    id: Compression.Gzip,
    name: NAME,

    compress (bytes) {
      if (bytes.length < STREAM_BYTES || typeof CompressionStream === 'undefined') return gzipSync(bytes, { level, mtime: 0 })
      return collect(bytes, MAX_SLICE_BYTES, new CompressionStream(NAME), Infinity)
    },

    decompress (bytes, maxBytes) {
      const claimed = claimedLength(bytes)
      const isSmall = bytes.length < STREAM_BYTES && claimed < STREAM_BYTES
      if (isSmall || typeof DecompressionStream === 'undefined') return inflate(bytes, maxBytes)

      // A slice at a time: some browsers inflate the whole of what they are given before anybody can stop them.
      const slice = clamp(Math.floor(maxBytes / MAX_RATIO / 2), 1024, MAX_SLICE_BYTES)
      return collect(bytes, slice, new DecompressionStream(NAME), maxBytes).then(result => {
        // Several members, or bytes behind them, which platforms treat differently.
        return result.length % 2 ** 32 === claimed ? result : inflate(bytes, maxBytes)
      }, (error: unknown) => {
        if (RpcError.is(error)) throw error
        // Corrupt, or several members, which browsers refuse: fflate knows.
        return inflate(bytes, maxBytes)
      })
    }
  }
}

/** The output of one of the platform's streams, in one piece. The error is an RpcError only when it is too large. */
async function collect (bytes: Uint8Array, slice: number, stream: GenericTransformStream, maxBytes: number): Promise<Uint8Array> {
  let at = 0
  const source = new ReadableStream<Uint8Array>({
    pull (controller) {
      if (at === bytes.length) return controller.close()
      controller.enqueue(bytes.subarray(at, at = Math.min(at + slice, bytes.length)))
    }
  }, { highWaterMark: 0 })
  const reader = (source.pipeThrough(stream) as ReadableStream<Uint8Array>).getReader()

  const output = new Pieces(maxBytes)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return output.join()
      output.push(value)
    }
  } catch (error) {
    reader.cancel(error).catch(() => {}) // it has failed already; nobody is left to be told
    throw error
  }
}

/**
 * By fflate, a slice at a time, so that the output can be counted: it exceeds the limit by one slice's at most.
 * @throws RpcError, as types/compressor.ts says
 */
function inflate (bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (bytes.length < MIN_MEMBER_BYTES) throw corrupt(NAME, 'truncated')
  const output = new Pieces(maxBytes)
  let sum = new MemberSum()
  let members = 1
  const gunzip = new Gunzip(piece => {
    sum.update(piece)
    output.push(piece)
  })
  gunzip.onmember = start => {
    if (!sum.matches(bytes, start)) throw corrupt(NAME, 'wrong checksum')
    if (++members > MAX_MEMBERS) throw corrupt(NAME, `more than ${MAX_MEMBERS} members`)
    sum = new MemberSum()
  }

  try {
    for (let at = 0; at < bytes.length;) {
      const slice = clamp(Math.floor((maxBytes - output.bytes) / MAX_RATIO), MIN_SLICE_BYTES, MAX_SLICE_BYTES)
      const end = Math.min(at + slice, bytes.length)
      gunzip.push(bytes.subarray(at, end), end === bytes.length)
      at = end
    }
  } catch (error) {
    throw RpcError.is(error) ? error : corrupt(NAME, error instanceof Error ? error.message : 'undecodable', error)
  }
  // fflate says nothing when the input ends early or has more bytes behind the trailer. In both cases the
  // last eight bytes are not the trailer of what came out.
  if (!sum.matches(bytes, bytes.length)) throw corrupt(NAME, 'wrong checksum or truncated')
  return output.join()
}

/** Collects output up to a limit. */
class Pieces {
  readonly #pieces: Uint8Array[] = []
  readonly #maxBytes: number
  bytes = 0

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  push (piece: Uint8Array): void {
    this.bytes += piece.length
    if (this.bytes > this.#maxBytes) throw tooLarge(NAME, this.#maxBytes)
    if (piece.length > 0) this.#pieces.push(piece)
  }

  join (): Uint8Array {
    const [first] = this.#pieces
    if (first !== undefined && this.#pieces.length === 1) return first
    const whole = new Uint8Array(this.bytes)
    let at = 0
    for (const piece of this.#pieces) {
      whole.set(piece, at)
      at += piece.length
    }
    return whole
  }
}

function clamp (value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max)
}
