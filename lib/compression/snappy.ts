/**
 * Snappy in its raw block format (protocol 1.0, section 4), in plain JavaScript for servers and browsers.
 * Own code instead of snappyjs 0.7.0: eight bytes send its decoder into an endless loop (fc fa ff ff ff, a
 * length that turns negative), it pads a block that is too short with zeros, cuts one that is too long, and
 * its encoder cannot pause.
 */
import type { Compressor } from '../../types/compressor.js'
import { Compression } from '../wire/message.js'
import { SnappyDecoder } from './snappy-decoder.js'
import { SnappyEncoder } from './snappy-encoder.js'
import { Limiter } from './limiter.js'
import { inLaterTurns, SLICE_BYTES } from './turn.js'

/**
 * Snappy, number 2 of the wire. Payloads up to 256 KiB are answered at once; larger ones by a promise, in
 * slices of 256 KiB (under a millisecond each) with a turn of the event loop between them, and the caller
 * must not change the input before the promise settles. Results are memory of their own. The format has no
 * checksum: a block that was damaged into another valid block goes unnoticed.
 */
export function snappy (): Compressor {
  // One large block at a time takes its slices: many at once would take as many in each turn.
  const limiter = new Limiter(1)
  return {
    id: Compression.Snappy,
    name: 'snappy',

    compress (bytes) {
      const encoder = new SnappyEncoder(bytes)
      const step = (): boolean => encoder.step(SLICE_BYTES)
      return step() ? encoder.result() : inLaterTurns(step).then(() => encoder.result())
    },

    decompress (bytes, maxBytes) {
      const decoder = new SnappyDecoder(bytes, maxBytes)
      const step = (): boolean => decoder.step(SLICE_BYTES)
      return step() ? decoder.result() : limiter.run(() => inLaterTurns(step)).then(() => decoder.result())
    }
  }
}
