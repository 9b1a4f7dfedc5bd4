/** Messages that wait: what they may keep alive beside themselves. */
import type { Payload } from '../wire/message.js'

/**
 * The message as it may wait, changed in place. Its cost counts its own bytes only, so it must not keep
 * alive the much larger chunk of the transport that they are a view of.
 */
export function detached (message: Payload): Payload {
  const { payload, metadata } = message
  if (payload.byteLength > 0 && payload.buffer.byteLength > 2 * payload.byteLength) message.payload = new Uint8Array(payload)
  if (metadata.length > 0) message.metadata = metadata.map(({ key, value }) => ({ key, value: new Uint8Array(value) }))
  return message
}
