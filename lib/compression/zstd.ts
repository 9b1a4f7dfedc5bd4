/**
 * Zstd for browsers: decoding only (protocol 1.0, section 4). Own code instead of fzstd 0.1.1, which checks
 * no checksum, reads zeros from before the start, moves its whole window after every block and follows
 * copies far beyond their block: a frame of 65 KB keeps it busy for a minute. Servers use node-zstd.ts.
 */
import type { Compressor } from '../../types/compressor.js'
import { Category, RpcError } from '../errors.js'
import { Compression } from '../wire/message.js'
import { GrowingOutput } from './growing-output.js'
import { inLaterTurns, SLICE_BYTES } from './turn.js'
import { ZstdFrameDecoder } from './zstd-decoder.js'
import { scanZstdFrames, ZSTD } from './zstd-frame.js'

/** Blocks without output cost time as well: each may have tables of its own. */
const SLICE_BLOCKS = 64

/**
 * Zstd, number 3 of the wire, for what a server sends; `compress` throws an RpcError Unimplemented. Output
 * up to 256 KiB is answered at once; more by a promise, in slices with a turn of the event loop between
 * them, and the caller must not change the input before it settles. Results are memory of their own.
 * Several frames are joined; dictionaries, windows above 32 MiB and more than 256 frames are refused; a
 * frame without checksum that was damaged into another valid frame goes unnoticed.
 */
export function zstdDecoder (): Compressor {
  return {
    id: Compression.Zstd,
    name: ZSTD,

    compress () {
      throw new RpcError(Category.Unimplemented, 'zstd is only decoded here; choose gzip or snappy for sending')
    },

    decompress (bytes, maxBytes) {
      const frames = scanZstdFrames(bytes, maxBytes)
      const isSized = frames.every(frame => frame.contentSize !== undefined)
      const most = frames.reduce((sum, frame) => sum + frame.maxOutput, 0)
      const output = new GrowingOutput(isSized ? most : Math.min(most, bytes.length * 4), maxBytes)

      let next = 0
      let decoder: ZstdFrameDecoder | undefined
      const step = (): boolean => {
        const until = output.length + SLICE_BYTES
        for (let blocks = 0; blocks < SLICE_BLOCKS && output.length < until; blocks++) {
          if (decoder === undefined) {
            const frame = frames[next++]
            if (frame === undefined) return true
            decoder = new ZstdFrameDecoder(bytes, frame, output, maxBytes)
          }
          if (decoder.step()) decoder = undefined
        }
        return decoder === undefined && next === frames.length
      }
      return step() ? output.result() : inLaterTurns(step).then(() => output.result())
    }
  }
}
