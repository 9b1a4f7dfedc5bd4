/**
 * The catalogue of mistakes that a program makes with this package on the server, built by
 * @fastify/error like Fastify's own: thrown at the line that made the mistake, never sent to a peer.
 */
import createError from '@fastify/error'
import { ErrorCode } from '../errors.js'

const catalogue = {
  [ErrorCode.HANDLER_EXISTS]: createError(ErrorCode.HANDLER_EXISTS, '%s', 500),
  [ErrorCode.ARGUMENT_INVALID]: createError(ErrorCode.ARGUMENT_INVALID, '%s', 500, TypeError),
  [ErrorCode.OPTION_INVALID]: createError(ErrorCode.OPTION_INVALID, '%s', 500, TypeError),
  [ErrorCode.ALREADY_LISTENING]: createError(ErrorCode.ALREADY_LISTENING, '%s', 500),
  [ErrorCode.CLOSED]: createError(ErrorCode.CLOSED, '%s', 503)
}

/** An error of the catalogue. */
export function misuse (code: keyof typeof catalogue, message: string): Error & { code: string } {
  return new catalogue[code](message)
}
