/**
 * The errors of this room: what the peer sent is no message, or a larger one than this side accepts. Both
 * cost the connection (protocol 1.1, section 8).
 */
import { Category, ErrorCode, ProtocolError } from '../errors.js'

/** For bytes that cannot be read as a frame. */
export function malformed (message: string): ProtocolError {
  return new ProtocolError(message, { scope: 'connection', category: Category.Internal, code: ErrorCode.MALFORMED })
}

/** For frames beyond a limit; made before anything of that size is allocated. */
export function frameTooLarge (size: number, maxBytes: number): ProtocolError {
  return new ProtocolError(`frame of ${size} bytes, at most ${maxBytes} are accepted`, {
    scope: 'connection', category: Category.Internal, code: ErrorCode.FRAME_TOO_LARGE
  })
}
