/**
 * Zstd on a server (protocol 1.0, section 4): by node:zlib where it has it, otherwise by the optional package
 * zstd-napi. Both get one whole frame at a time, scanned by zstd-frame.ts and with its limits, so that they
 * accept and refuse the same.
 */
import type { Compressor } from '../../types/compressor.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import { Compression } from '../wire/message.js'
import { corrupt, tooLarge } from './failure.js'
import { Limiter } from './limiter.js'
import { openBuiltinZstd } from './node-zstd-builtin.js'
import type { FrameInput, ZstdEngine } from './node-zstd-engine.js'
import { openNapiZstd } from './node-zstd-napi.js'
import { scanZstdFrames, ZSTD } from './zstd-frame.js'

/** From here on a payload is compressed or decompressed asynchronously, in bytes of input. */
const ASYNC_BYTES = 32 * 1024
/** The most that is decompressed at once on the event loop, some 0.2 ms. */
const SYNC_OUTPUT_BYTES = 256 * 1024
const DEFAULT_CONCURRENCY = 4

/** How {@link nodeZstd} works. */
export interface NodeZstdOptions {
  /** 1 (fast) to 22 (small, slow and of much memory), default 3. */
  level?: number
  /** How many large payloads are worked on at once, default 4; the others wait in order. */
  concurrency?: number
  /** Which implementation to use; by default node:zlib where it has zstd, otherwise zstd-napi. */
  implementation?: 'node:zlib' | 'zstd-napi'
}

/**
 * Zstd, number 3 of the wire. Writes one frame with content size and checksum. Payloads below 32 KiB that
 * yield at most 256 KiB are answered at once, others by a promise, and the caller must not change the input
 * before it settles. Results are memory of their own. Several frames are joined; dictionaries, windows above
 * 32 MiB and more than 256 frames are refused; a frame without checksum that was damaged into another valid
 * frame goes unnoticed.
 *
 * Rejects with RpcError `CLAW_ERR_OPTION_INVALID` when an option is wrong or there is no implementation: Node
 * before 22.15 has none of its own and needs the package zstd-napi.
 */
export async function nodeZstd (options: NodeZstdOptions = {}): Promise<Compressor> {
  const level = integer('level', options.level ?? 3, 1, 22)
  const limiter = new Limiter(integer('concurrency', options.concurrency ?? DEFAULT_CONCURRENCY, 1, 1024))
  const engine = await openEngine(level, options.implementation)

  return {
    id: Compression.Zstd,
    name: ZSTD,

    compress (bytes) {
      return bytes.length < ASYNC_BYTES ? engine.compressNow(bytes) : limiter.run(() => engine.compress(bytes))
    },

    decompress (bytes, maxBytes) {
      const frames = scanZstdFrames(bytes, maxBytes).map((frame): FrameInput => ({
        bytes: bytes.subarray(frame.start, frame.end),
        maxOutput: frame.maxOutput,
        isExact: frame.contentSize !== undefined,
        limit: maxBytes
      }))
      const most = frames.reduce((sum, frame) => sum + frame.maxOutput, 0)
      const isSmall = bytes.length < ASYNC_BYTES && most <= SYNC_OUTPUT_BYTES
      return isSmall ? decompressNow(engine, frames, maxBytes) : limiter.run(() => decompress(engine, frames, maxBytes))
    }
  }
}

function decompressNow (engine: ZstdEngine, frames: FrameInput[], maxBytes: number): Uint8Array {
  const outputs: Uint8Array[] = []
  let left = maxBytes
  for (const frame of frames) {
    const output = accept(() => engine.decompressNow({ ...frame, limit: left }))
    if (output === undefined) throw tooLarge(ZSTD, maxBytes)
    left -= output.length
    outputs.push(output)
  }
  return join(outputs, maxBytes - left)
}

async function decompress (engine: ZstdEngine, frames: FrameInput[], maxBytes: number): Promise<Uint8Array> {
  const outputs: Uint8Array[] = []
  let left = maxBytes
  for (const frame of frames) {
    const output = await engine.decompress({ ...frame, limit: left }).catch(refuse)
    if (output === undefined) throw tooLarge(ZSTD, maxBytes)
    left -= output.length
    outputs.push(output)
  }
  return join(outputs, maxBytes - left)
}

function accept<T> (decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    return refuse(error)
  }
}

function refuse (error: unknown): never {
  throw corrupt(ZSTD, error instanceof Error ? error.message : 'undecodable', error)
}

function join (outputs: Uint8Array[], length: number): Uint8Array {
  const [first] = outputs
  if (first !== undefined && outputs.length === 1) return first
  const whole = new Uint8Array(length)
  let at = 0
  for (const output of outputs) {
    whole.set(output, at)
    at += output.length
  }
  return whole
}

async function openEngine (level: number, implementation: NodeZstdOptions['implementation']): Promise<ZstdEngine> {
  if (implementation !== undefined && implementation !== 'node:zlib' && implementation !== 'zstd-napi') {
    throw invalid(`there is no implementation ${String(implementation)}`)
  }
  const builtin = implementation === 'zstd-napi' ? undefined : openBuiltinZstd(level)
  if (builtin !== undefined) return builtin
  if (implementation === 'node:zlib') throw invalid(`node:zlib has it from Node 22.15 on; this is ${process.version}`)
  try {
    return await openNapiZstd(level)
  } catch (error) {
    throw invalid('run `npm install zstd-napi`, or use Node 22.15 or later, whose node:zlib has zstd', error)
  }
}

function integer (name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw invalid(`${name} must be an integer from ${min} to ${max}`)
}

function invalid (what: string, cause?: unknown): RpcError {
  return new RpcError(Category.InvalidArgument, `zstd: ${what}`, { code: ErrorCode.OPTION_INVALID, cause })
}
