/** What node-zstd.ts needs of an implementation of zstd. Neither of the two knows payloads, only whole frames. */

/** The frame that is to be decompressed, which zstd-frame.ts has found complete. */
export interface FrameInput {
  bytes: Uint8Array
  /** What it yields: exactly this where its header says so, otherwise not more. */
  maxOutput: number
  isExact: boolean
  /** What it may yield at most. */
  limit: number
}

/** An implementation. Compressed frames carry a checksum; results are memory of their own. */
export interface ZstdEngine {
  compressNow (bytes: Uint8Array): Uint8Array
  compress (bytes: Uint8Array): Promise<Uint8Array>
  /** Undefined when the frame yields more than its limit; throws what the implementation throws when it is corrupt. */
  decompressNow (frame: FrameInput): Uint8Array | undefined
  /** As `decompressNow`, in steps or threads that leave the event loop free. */
  decompress (frame: FrameInput): Promise<Uint8Array | undefined>
}
