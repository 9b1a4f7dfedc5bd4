/**
 * Who watches the calls of a server: counters for `stats()`, one log line for each call, and the
 * channels of node:diagnostics_channel. Watching costs little where nobody looks.
 */
import { channel } from 'node:diagnostics_channel'
import type { CallContext } from './context.js'
import { Category, categoryName } from '../errors.js'
import type { RpcError } from '../errors.js'
import { RpcType } from '../wire/message.js'
import type { Clock } from '../../types/clock.js'
import type { CallObserver, CallRecord } from './services.js'
import { logsInfo } from './silent-logger.js'

/** Names of the channels; docs/observability.md says what their messages hold. */
export const CHANNELS = {
  connectionStart: 'fastify-claw:connection:start',
  connectionEnd: 'fastify-claw:connection:end',
  rpcStart: 'fastify-claw:rpc:start',
  rpcEnd: 'fastify-claw:rpc:end'
} as const

const channels = {
  connectionStart: channel(CHANNELS.connectionStart),
  connectionEnd: channel(CHANNELS.connectionEnd),
  rpcStart: channel(CHANNELS.rpcStart),
  rpcEnd: channel(CHANNELS.rpcEnd)
}

const KINDS: Readonly<Record<number, string>> = {
  [RpcType.Synchronous]: 'sync',
  [RpcType.Send]: 'send',
  [RpcType.Recv]: 'recv',
  [RpcType.BiDirectional]: 'biDir'
}

/** The word for an RpcType in logs and statistics. */
export function kindName (type: number): string { return KINDS[type] ?? 'unknown' }

/** How the calls of a server went since it was made. */
export interface CallCounters {
  started: number
  ended: number
  /** Ended calls by the name of their outcome's category; `OK` for those that went well. */
  byCategory: Record<string, number>
}

export class Observer implements CallObserver {
  #started = 0
  #ended = 0
  /** Ended calls by the number of their category. */
  readonly #byCategory: number[] = Object.values(Category).map(() => 0)
  readonly #clock: Clock
  readonly #logsCalls: boolean

  /** @param logsCalls whether each completed call gets a line. */
  constructor (clock: Clock, logsCalls: boolean) {
    this.#clock = clock
    this.#logsCalls = logsCalls
  }

  /** The figures of now. */
  get calls (): CallCounters {
    const byCategory: Record<string, number> = {}
    this.#byCategory.forEach((count, category) => { if (count > 0) byCategory[categoryName(category)] = count })
    return { started: this.#started, ended: this.#ended, byCategory }
  }

  callStarted (record: CallRecord): void {
    this.#started++
    if (channels.rpcStart.hasSubscribers) channels.rpcStart.publish({ context: record.context })
  }

  callEnded (record: CallRecord, error: RpcError | undefined, foreign: unknown): void {
    const category = error === undefined ? Category.OK : error.category
    this.#ended++
    this.#byCategory[category] = (this.#byCategory[category] ?? 0) + 1
    const { context } = record
    if (foreign !== undefined) context.log.error({ err: foreign }, 'RPC handler failed')
    const publishes = channels.rpcEnd.hasSubscribers
    const logs = this.#logsCalls && logsInfo(context.sessionLog)
    if (!publishes && !logs) return
    const outcome = {
      rpc: kindName(context.type),
      ...namesOf(context),
      category: categoryName(category),
      ...(error === undefined ? {} : { code: error.code }),
      responseTime: this.#clock.now() - record.startedAt,
      received: { messages: record.receivedMessages, bytes: record.receivedBytes },
      sent: { messages: record.sentMessages, bytes: record.sentBytes }
    }
    if (logs) context.sessionLog.info(outcome, 'rpc completed')
    if (publishes) channels.rpcEnd.publish({ context, error, ...outcome })
  }

  connectionStarted (connection: object): void {
    if (channels.connectionStart.hasSubscribers) channels.connectionStart.publish({ connection })
  }

  connectionEnded (connection: object, error: RpcError | undefined): void {
    if (channels.connectionEnd.hasSubscribers) channels.connectionEnd.publish({ connection, error })
  }
}

function namesOf (context: CallContext): { package: string, service: string, call: string, session: number } {
  return { package: context.package, service: context.service, call: context.call, session: context.session }
}
