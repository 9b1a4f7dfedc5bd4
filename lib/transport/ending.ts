/**
 * How a stream ended, in words and errors: what is a loss, what is a fault of the peer, and what WebSocket close codes
 * say about it (protocol 1.1, section 8). Pure; knows no transport.
 */
import { ProtocolError, connectionLost } from '../errors.js'
import { CloseCode } from '../../types/transport.js'

/** The end of a WebSocket without a close frame; never on the wire. */
const ABNORMAL = 1006
/** A close frame without a code; never on the wire. */
const NO_STATUS = 1005
/** A close frame holds 125 bytes, two of them for the code. */
const MAX_REASON_BYTES = 123

/** The peer sent a text message, of which no byte stream can be made. */
export function textMessage (): ProtocolError {
  return new ProtocolError('the peer sent a WebSocket text message; Claw is binary')
}

/**
 * What a WebSocket's close code means to the sink: undefined for an orderly end. A code that answers our own close is
 * an echo and no news, only the missing answer is.
 */
export function closeError (code: number, reason: string, closedHere: boolean, cause?: unknown): Error | undefined {
  if (code === CloseCode.Normal || code === CloseCode.GoingAway || code === NO_STATUS) return undefined
  if (code === ABNORMAL) return connectionLost('connection lost', cause)
  if (closedHere) return undefined
  return connectionLost(`the peer closed the WebSocket with code ${code}${reason === '' ? '' : ': ' + reason}`, cause)
}

/** The reason cut, between characters, to what a close frame holds. */
export function closeReason (reason: string): string {
  if (reason.length * 3 <= MAX_REASON_BYTES) return reason // UTF-8 needs at most 3 bytes for a UTF-16 unit
  const { read } = new TextEncoder().encodeInto(reason, new Uint8Array(MAX_REASON_BYTES))
  return reason.slice(0, read)
}
