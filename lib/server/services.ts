/** What the calls of all connections of one server share; made by Server, so that calls need not know it. */
import type { Clock } from '../../types/clock.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import type { DecompressSettings } from '../call/decompress.js'
import type { RpcError } from '../errors.js'
import type { CallContext } from './context.js'
import type { RunPool } from './run-pool.js'

/** What is known of a call when it is over. */
export interface CallRecord {
  readonly context: CallContext
  /** Clock milliseconds when it arrived. */
  readonly startedAt: number
  receivedMessages: number
  receivedBytes: number
  sentMessages: number
  sentBytes: number
}

/** Who is told of every call; for logs, counters and diagnostics. */
export interface CallObserver {
  callStarted (record: CallRecord): void
  /** @param error the outcome; undefined when it went well. @param foreign the error of the program behind it, if any. */
  callEnded (record: CallRecord, error: RpcError | undefined, foreign: unknown): void
}

export interface CallServices {
  readonly clock: Clock
  readonly pool: RunPool
  readonly observer: CallObserver
  readonly decompress: DecompressSettings
  /** Longest time a call may take, milliseconds; 0 for no cap. */
  readonly maxDeadlineMs: number
  readonly unaryInterceptors: readonly UnaryServerInterceptor[]
  readonly streamInterceptors: readonly StreamServerInterceptor[]
}
