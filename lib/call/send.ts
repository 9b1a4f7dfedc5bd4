/** Sending as handlers and callers do it. */
import type { Session } from '../connection/session.js'
import { rejected } from '../connection/faults.js'
import { metadataEntries } from '../metadata.js'
import type { MetadataInit } from '../metadata.js'

/** Sends a message with metadata; see Session.send. Metadata that make no sense are a rejection, like all else. */
export function sendWithMetadata (session: Session, bytes: Uint8Array, metadata: MetadataInit): Promise<void> | undefined {
  try {
    return session.send(bytes, { metadata: metadataEntries(metadata) })
  } catch (error) {
    return rejected(error as Error)
  }
}
