/** From the bytes of a payload to the bytes the application gets, under the size limit. */
import type { CompressorRegistry } from '../compression/registry.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import type { Payload } from '../wire/message.js'

export interface DecompressSettings {
  readonly compressors: CompressorRegistry
  readonly maxRecvMsgSize: number
}

/**
 * The decompressed content; at once where there is nothing to do or the format answers at once.
 * @throws RpcError Unimplemented for a compression that is not registered, and what the compressor throws.
 */
export function decompressPayload (message: Payload, settings: DecompressSettings): Uint8Array | Promise<Uint8Array> {
  // Go sets the compression of empty payloads too; they were never compressed.
  if (message.compression === 0 || message.payload.byteLength === 0) return message.payload
  const compressor = settings.compressors.get(message.compression)
  if (compressor === undefined) {
    throw new RpcError(Category.Unimplemented, `unknown compression ${message.compression}`, { code: ErrorCode.UNKNOWN_COMPRESSION })
  }
  return compressor.decompress(message.payload, settings.maxRecvMsgSize)
}
