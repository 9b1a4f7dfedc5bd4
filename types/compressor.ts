/** What the engine needs of a compression format. Implementations are in lib/compression and may be the user's. */

/** One compression format. Methods may answer at once or by a promise (large inputs, off the event loop). */
export interface Compressor {
  /** The wire's number: 1 gzip, 2 snappy (block format), 3 zstd, or one agreed between both sides up to 255. */
  readonly id: number
  /** Name for options, logs and metrics. */
  readonly name: string
  /** Compresses. The input is not changed or kept; the result is the caller's. */
  compress (bytes: Uint8Array): Uint8Array | Promise<Uint8Array>
  /**
   * Decompresses, holding at most `maxBytes` of output. Throws (or rejects with) an RpcError:
   * ResourceExhausted `CLAW_ERR_MESSAGE_TOO_LARGE` when the output is larger, InvalidArgument
   * `CLAW_ERR_CORRUPT_PAYLOAD` when the input is no valid stream of the format. An empty result is valid.
   */
  decompress (bytes: Uint8Array, maxBytes: number): Uint8Array | Promise<Uint8Array>
}
