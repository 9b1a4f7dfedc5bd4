/**
 * Gzip on a server, by node:zlib (protocol 1.0, section 4). Small payloads are done at once, for handing
 * one to the thread pool and back costs some 90 us whatever its size; large ones go there, a few at a time.
 */
import { constants, gunzip, gunzipSync, gzip, gzipSync } from 'node:zlib'
import type { Gzip, InputType, ZlibOptions } from 'node:zlib'
import type { Compressor } from '../../types/compressor.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import { Compression } from '../wire/message.js'
import { corrupt, tooLarge } from './failure.js'
import { claimedLength } from './gzip-trailer.js'
import { Limiter } from './limiter.js'

const NAME = 'gzip'
/** From here on a payload goes to the thread pool. */
const ASYNC_BYTES = 32 * 1024
/** The most a small input may inflate to on the event loop (some 0.3 ms) before it goes to the thread pool after all. */
const SYNC_OUTPUT_BYTES = 256 * 1024
/** zlib's own default is 16 KiB for every payload, which a result of 100 bytes would then keep alive. */
const MIN_CHUNK_BYTES = 64
const MAX_CHUNK_BYTES = 64 * 1024
/** Threads that the pool of libuv has unless the environment says otherwise. */
const DEFAULT_CONCURRENCY = 4

/** How {@link nodeGzip} works. */
export interface NodeGzipOptions {
  /** 0 (store) to 9 (smallest), default 6. Level 1 is three times as fast and some 15 % larger. */
  level?: number
  /** How many large payloads are in the thread pool at once, default 4; the others wait in order. */
  concurrency?: number
}

type Inflated = { buffer: Buffer, engine: Gzip }

/**
 * Gzip, number 1 of the wire. Payloads below 32 KiB are answered at once, larger ones by a promise, and the
 * caller must not change the input before it settles. Results are memory of their own. Input of several
 * members is joined; anything behind the last member, zeros too, is an error, as it is for Go.
 * @throws RpcError `CLAW_ERR_OPTION_INVALID`
 */
export function nodeGzip (options: NodeGzipOptions = {}): Compressor {
  const level = integer('level', options.level ?? 6, 0, 9)
  const limiter = new Limiter(integer('concurrency', options.concurrency ?? DEFAULT_CONCURRENCY, 1, 1024))

  return {
    id: Compression.Gzip,
    name: NAME,

    compress (bytes) {
      const options = { level, chunkSize: chunkSize(bytes.length) }
      if (bytes.length < ASYNC_BYTES) return plain(gzipSync(bytes, options))
      return limiter.run(() => new Promise((resolve, reject) => {
        gzip(bytes, options, (error, result) => { if (error === null) resolve(plain(result)); else reject(error) })
      }))
    },

    decompress (bytes, maxBytes) {
      const claimed = claimedLength(bytes)
      if (bytes.length < ASYNC_BYTES && claimed <= SYNC_OUTPUT_BYTES) {
        const limit = Math.min(maxBytes, SYNC_OUTPUT_BYTES)
        try {
          return checked(gunzipSync(bytes, inflateOptions(limit, claimed)), bytes, maxBytes)
        } catch (error) {
          if (!isOverflow(error) || limit === maxBytes) throw failure(error, maxBytes)
          // The length it claims was a lie. The thread pool finds out how much of one.
        }
      }
      return limiter.run(() => new Promise((resolve, reject) => {
        // Types of Node know nothing of `info`, see inflateOptions.
        (gunzip as unknown as InflateAsync)(bytes, inflateOptions(maxBytes, claimed), (error, result) => {
          try {
            if (error !== null) throw error
            resolve(checked(result, bytes, maxBytes))
          } catch (error) {
            reject(failure(error, maxBytes))
          }
        })
      }))
    }
  }
}

type InflateAsync = (bytes: InputType, options: ZlibOptions, done: (error: Error | null, result: unknown) => void) => void

function inflateOptions (maxBytes: number, claimed: number): ZlibOptions {
  return {
    maxOutputLength: Math.max(maxBytes, 1), // zlib refuses 0, see checked
    chunkSize: chunkSize(Math.min(claimed, maxBytes)),
    finishFlush: constants.Z_FINISH, // a truncated stream is an error
    info: true // the result comes with the engine, which knows how much of the input it read
  }
}

/** What is left to check when zlib is content. */
function checked (result: unknown, bytes: Uint8Array, maxBytes: number): Uint8Array {
  const { buffer, engine } = result as Inflated
  // zlib passes over what is behind a member when it begins with zero.
  if (engine.bytesWritten !== bytes.length || bytes.length === 0) throw corrupt(NAME, 'bytes that are no member')
  if (buffer.length > maxBytes) throw tooLarge(NAME, maxBytes)
  return plain(buffer)
}

function failure (error: unknown, maxBytes: number): RpcError {
  if (RpcError.is(error)) return error
  if (isOverflow(error)) return tooLarge(NAME, maxBytes)
  return corrupt(NAME, error instanceof Error ? error.message : 'undecodable', error)
}

function isOverflow (error: unknown): boolean {
  return error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
}

function chunkSize (expected: number): number {
  return Math.min(Math.max(expected + 32, MIN_CHUNK_BYTES), MAX_CHUNK_BYTES)
}

/** Buffer's `slice` and `toString` mean something else than Uint8Array's; what leaves here is the latter. */
function plain (buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}

function integer (name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new RpcError(Category.InvalidArgument, `gzip: ${name} must be an integer from ${min} to ${max}`,
    { code: ErrorCode.OPTION_INVALID })
}
