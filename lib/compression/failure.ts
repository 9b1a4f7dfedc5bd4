/**
 * The two ways in which decompression fails, the same for every format, as types/compressor.ts promises
 * them. Nothing else may leave a compressor's `decompress`.
 */
import { Category, ErrorCode, RpcError } from '../errors.js'

/** The bytes are no valid stream of the format. The cause is for the log and never crosses the wire. */
export function corrupt (format: string, what: string, cause?: unknown): RpcError {
  return new RpcError(Category.InvalidArgument, `corrupt ${format} payload: ${what}`, { code: ErrorCode.CORRUPT_PAYLOAD, cause })
}

/** The output would exceed the limit, in bytes. */
export function tooLarge (format: string, maxBytes: number): RpcError {
  return new RpcError(Category.ResourceExhausted, `${format} payload decompresses to more than ${maxBytes} bytes`,
    { code: ErrorCode.MESSAGE_TOO_LARGE })
}
