/** What a call fails with for reasons on the caller's own side. */
import { Category, ErrorCode, RpcError } from '../errors.js'

/** The call's signal was aborted: with its reason where that is an RpcError. */
export function abortError (signal: AbortSignal | undefined): RpcError {
  const reason: unknown = signal?.reason
  return RpcError.is(reason) ? reason : new RpcError(Category.Canceled, 'canceled by the caller', { cause: reason })
}

export function sessionClosed (): RpcError { return new RpcError(Category.Canceled, 'session closed', { code: ErrorCode.SESSION_CLOSED }) }
