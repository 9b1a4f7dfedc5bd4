/**
 * The bytes that are being decoded, bound once per chunk: a chunk of a thousand frames costs one DataView.
 * It checks nothing; bounds are the decoders' business. It knows neither frames nor fields.
 */
import { NO_BYTES } from './message.js'

const NO_VIEW = new DataView(NO_BYTES.buffer)

/** See the head of this file. Offsets count from the start of the bound bytes. */
export class ByteReader {
  bytes: Uint8Array = NO_BYTES
  /** Over exactly the same bytes. */
  view: DataView = NO_VIEW

  constructor (bytes?: Uint8Array) {
    if (bytes !== undefined) this.bind(bytes)
  }

  /** Reads from these bytes from now on. */
  bind (bytes: Uint8Array): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Lets go of the bytes: a reader between two chunks must not keep the last one alive. */
  unbind (): void {
    this.bytes = NO_BYTES
    this.view = NO_VIEW
  }

  /** A view, not a copy. A plain Uint8Array also where a Node Buffer is bound. */
  slice (at: number, length: number): Uint8Array {
    if (length === 0) return NO_BYTES
    // Not subarray: the constructor is twice as fast, and subarray of a Buffer would be a Buffer.
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + at, length)
  }
}
