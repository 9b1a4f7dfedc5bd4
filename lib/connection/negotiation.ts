/** What two peers agree on, and how large a frame may be before and after (protocol 1.0, section 5.1; 1.1, sections 1 and 8). */
import { PROTOCOL_MAJOR, PROTOCOL_MINOR } from '../wire/message.js'
import { effectiveWindow } from './flow-control.js'
import { MAX_MESSAGE_METADATA_BYTES } from './limits.js'
import { MAX_CHUNK_BYTES } from './outbox.js'
import type { ConnectionSettings } from './settings.js'

/** Room for names, ids and the struct around the largest payload and metadata. */
const FRAME_SLACK_BYTES = 16 * 1024

/** The highest major version is the only one: text for a refusal, undefined when the peer's is right. */
export function versionRefusal (peerMajor: number): string | undefined {
  // Absent counts as 1.
  if (peerMajor === PROTOCOL_MAJOR || peerMajor === 0) return undefined
  return `protocol major version ${peerMajor} is not ${PROTOCOL_MAJOR}`
}

/** The minor version of a connection whose sides speak up to these. */
export function agreedMinor (ownMinor: number, peerMinor: number): 0 | 1 {
  return Math.min(PROTOCOL_MINOR, ownMinor, peerMinor) === 1 ? 1 : 0
}

/**
 * The largest frame that is taken. Until the version is agreed there is nothing larger to say than an Open with a First:
 * a key's character takes up to three bytes, and metadata somewhat beyond their limit get a refusal instead of costing
 * the connection. Afterwards chunks make larger frames needless, which a 1.0 peer does not know.
 */
export function maxFrameBytes (minor: 0 | 1 | undefined, { maxRecvMsgSize, maxMetadataBytes, windowBytes }: ConnectionSettings): number {
  const open = MAX_CHUNK_BYTES + MAX_MESSAGE_METADATA_BYTES + 3 * maxMetadataBytes + FRAME_SLACK_BYTES
  if (minor === undefined) return open
  return Math.max(open, minor === 1 ? effectiveWindow(windowBytes) / 2 : maxRecvMsgSize + maxMetadataBytes + FRAME_SLACK_BYTES)
}
