/** How large names and metadata may be, for both directions and both roles (protocol 1.1, section 8). */
import type { MetadataEntry } from '../metadata.js'
import { METADATA_ENTRY } from '../wire/schema.js'
import { sizeOfList } from '../wire/struct-writer.js'

/** The longest name of a package, service or call, bytes. */
export const MAX_NAME_BYTES = 1024
/** The most metadata one message carries on a 1.1 connection, bytes as encoded. */
export const MAX_MESSAGE_METADATA_BYTES = 16 * 1024

/** The bytes that metadata take on the wire. */
export function encodedMetadataBytes (metadata: readonly MetadataEntry[]): number { return sizeOfList(METADATA_ENTRY, metadata) }

/** Bytes of keys (as UTF-16 units, a lower bound of UTF-8) and values, and 24 for each entry. */
export function metadataBytes (metadata: readonly MetadataEntry[]): number {
  let bytes = 0
  for (const { key, value } of metadata) bytes += 24 + key.length + value.byteLength
  return bytes
}
