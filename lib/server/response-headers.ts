/** What a handler has to say at once, in the answer to the Open, before it runs (protocol 1.0, section 7). */
import { MAX_MESSAGE_METADATA_BYTES, encodedMetadataBytes } from '../connection/limits.js'
import { NO_METADATA, metadataEntries } from '../metadata.js'
import type { MetadataEntry } from '../metadata.js'
import type { RpcError } from '../errors.js'
import { CallContext } from './context.js'
import type { SessionContext } from './context.js'
import { outcomeOf } from './outcome.js'
import type { Registration } from './registry.js'

/** The response headers of an Open that is accepted, or why it is refused after all. */
export function headersOf ({ handler }: Registration, session: SessionContext): readonly MetadataEntry[] | RpcError {
  if (handler.headers === undefined) return NO_METADATA
  const context = new CallContext(session, 0, NO_METADATA, undefined)
  try {
    const headers = metadataEntries(handler.headers(context))
    if (encodedMetadataBytes(headers) > MAX_MESSAGE_METADATA_BYTES) throw new RangeError(`response headers exceed ${MAX_MESSAGE_METADATA_BYTES} bytes`)
    return headers
  } catch (thrown) {
    const { error, foreign } = outcomeOf(thrown, context)
    if (foreign !== undefined) context.log.error({ err: foreign }, 'RPC response headers failed')
    return error
  }
}
