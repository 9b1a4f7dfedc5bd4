/** From what a handler threw to what the peer is told: the only place where one becomes the other. */
import { Category, RpcError, peerError } from '../errors.js'

import type { CallContext } from './context.js'

/** The outcome, and the program's own error behind it when there is one to log. */
export interface Outcome {
  readonly error: RpcError
  readonly foreign: unknown
}

/**
 * An RpcError crosses as it is. After an abort, whatever a handler threw because of it (the reason itself,
 * an AbortError of some library) is told as the abort's reason. Anything else is a foreign error: the peer
 * gets a generic text.
 */
export function outcomeOf (thrown: unknown, context: CallContext): Outcome {
  const { abortReason } = context
  if (RpcError.is(thrown)) return { error: thrown, foreign: undefined }
  if (abortReason !== undefined && isAbortError(thrown)) return { error: abortReason, foreign: undefined }
  return { error: RpcError.from(thrown), foreign: thrown ?? new Error('the handler threw nothing') }
}

/** What the handler answered, if it is bytes. */
export function checkAnswer (answer: unknown): Uint8Array {
  if (answer instanceof Uint8Array) return answer
  throw new TypeError(`the handler answered ${answer === null ? 'null' : typeof answer}, not a Uint8Array`)
}

export const canceled = (text: string): RpcError => peerError(Category.Canceled, text)

function isAbortError (thrown: unknown): boolean {
  return thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError')
}
