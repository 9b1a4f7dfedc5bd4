/** The errors of this room that more than one file makes. */
import { Category, ErrorCode, ProtocolError, RpcError, peerError } from '../errors.js'

/** What a send fails with after the session has ended without an error. */
export const SESSION_CLOSED = new RpcError(Category.Canceled, 'session closed', { code: ErrorCode.SESSION_CLOSED })

/** The error for a message beyond a limit, which is named. */
export function tooLarge (bytes: number, limit: string): RpcError {
  return new RpcError(Category.ResourceExhausted, `message of ${bytes} bytes exceeds ${limit} bytes`, { code: ErrorCode.MESSAGE_TOO_LARGE })
}

/** The error for a message of the peer that this side does not take. */
export function messageTooLarge (maxBytes: number): RpcError {
  return peerError(Category.ResourceExhausted, `message exceeds maxRecvMsgSize of ${maxBytes} bytes`, { code: ErrorCode.MESSAGE_TOO_LARGE })
}

export function metadataTooLarge (maxBytes: number): RpcError {
  return peerError(Category.ResourceExhausted, `the metadata of the message exceed ${maxBytes} bytes`, { code: ErrorCode.METADATA_TOO_LARGE })
}

export const deadlineExceeded = (): RpcError => peerError(Category.DeadlineExceeded, 'deadline exceeded')

export function sendAfterEnd (): RpcError {
  return new RpcError(Category.FailedPrecondition, 'send after the end of the stream', { code: ErrorCode.SEND_AFTER_END })
}

/** The session whose peer does not go on in time. */
export function stalled (text: string): ProtocolError {
  return new ProtocolError(text, { scope: 'session', category: Category.ResourceExhausted, code: ErrorCode.SLOW_READER })
}

/** A promise that has failed and ends no process when nobody looks. */
export function rejected (error: Error): Promise<never> {
  const promise = Promise.reject(error)
  promise.catch(() => {})
  return promise
}
