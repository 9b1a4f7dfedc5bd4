/** Zstd by node:zlib, which has it from Node 22.15 and 23.8 on. */
import * as zlib from 'node:zlib'
import type { FrameInput, ZstdEngine } from './node-zstd-engine.js'

const MIN_CHUNK_BYTES = 64
const MAX_CHUNK_BYTES = 64 * 1024
/** 32 MiB, as zstd-frame.ts allows. */
const WINDOW_LOG_MAX = 25

interface ZstdOptions {
  params: Record<number, number>
  chunkSize: number
  maxOutputLength?: number
  pledgedSrcSize?: number
}

type Done = (error: Error | null, result: Buffer) => void

/** The part of node:zlib that the types of Node 20 do not know. */
interface ZstdOfNode {
  zstdCompressSync (bytes: Uint8Array, options: ZstdOptions): Buffer
  zstdCompress (bytes: Uint8Array, options: ZstdOptions, done: Done): void
  zstdDecompressSync (bytes: Uint8Array, options: ZstdOptions): Buffer
  zstdDecompress (bytes: Uint8Array, options: ZstdOptions, done: Done): void
  constants: { ZSTD_c_compressionLevel: number, ZSTD_c_checksumFlag: number, ZSTD_d_windowLogMax: number }
}

/** The engine, or undefined where this Node has none. */
export function openBuiltinZstd (level: number): ZstdEngine | undefined {
  if (!('zstdCompressSync' in zlib)) return undefined
  const node = zlib as unknown as ZstdOfNode
  const { ZSTD_c_compressionLevel: LEVEL, ZSTD_c_checksumFlag: CHECKSUM, ZSTD_d_windowLogMax: WINDOW } = node.constants

  const compressOptions = (bytes: Uint8Array): ZstdOptions => ({
    params: { [LEVEL]: level, [CHECKSUM]: 1 },
    chunkSize: chunkSize(bytes.length),
    pledgedSrcSize: bytes.length // or the header of a large payload would lack its size
  })
  const decompressOptions = (frame: FrameInput): ZstdOptions => ({
    params: { [WINDOW]: WINDOW_LOG_MAX },
    chunkSize: chunkSize(Math.min(frame.maxOutput, frame.limit)),
    maxOutputLength: Math.max(frame.limit, 1) // zlib refuses 0, see bounded
  })

  return {
    compressNow: bytes => plain(node.zstdCompressSync(bytes, compressOptions(bytes))),

    compress: bytes => new Promise((resolve, reject) => {
      node.zstdCompress(bytes, compressOptions(bytes), (error, result) => {
        if (error === null) resolve(plain(result))
        else reject(error)
      })
    }),

    decompressNow (frame) {
      try {
        return bounded(node.zstdDecompressSync(frame.bytes, decompressOptions(frame)), frame)
      } catch (error) {
        if (isOverflow(error)) return undefined
        throw error
      }
    },

    decompress: frame => new Promise((resolve, reject) => {
      node.zstdDecompress(frame.bytes, decompressOptions(frame), (error, result) => {
        if (error === null) resolve(bounded(result, frame))
        else if (isOverflow(error)) resolve(undefined)
        else reject(error)
      })
    })
  }
}

function bounded (result: Buffer, frame: FrameInput): Uint8Array | undefined {
  return result.length > frame.limit ? undefined : plain(result)
}

function isOverflow (error: unknown): boolean {
  return error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
}

function chunkSize (expected: number): number {
  return Math.min(Math.max(expected + 32, MIN_CHUNK_BYTES), MAX_CHUNK_BYTES)
}

/** Not a Buffer, see node-gzip.ts. */
function plain (buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}
