/** From a caller's `timeoutMs` to a point of time, and from there to the wire's DeadlineMS. */
import { ErrorCode } from '../errors.js'
import { misuse } from './misuse.js'

/** A Go server takes a longer deadline for one that has passed (defect D22). */
const MAX_DEADLINE_MS = 9_223_372_036_854

/** Clock milliseconds when the time is up; undefined for none. @throws TypeError CLAW_ERR_ARGUMENT_INVALID */
export function deadlineAfter (now: number, timeoutMs: number | undefined): number | undefined {
  if (timeoutMs === undefined || timeoutMs === Infinity) return undefined
  if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) throw misuse(ErrorCode.ARGUMENT_INVALID, 'timeoutMs must be a number')
  return now + timeoutMs
}

/** What is left of the time, in whole milliseconds as the wire takes it; 0 for no deadline. */
export function deadlineMS (deadlineAt: number | undefined, now: number): bigint {
  if (deadlineAt === undefined) return 0n
  return BigInt(Math.min(MAX_DEADLINE_MS, Math.max(1, Math.ceil(deadlineAt - now))))
}
