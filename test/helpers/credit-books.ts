/**
 * The books that a CreditModel keeps of one session: what either side has sent, granted and got, by the frames alone.
 * The sizes are those of protocol 1.1, section 3.
 */
import { RpcType } from '../../lib/wire/message.js'
import type { Payload } from '../../lib/wire/message.js'

export type Side = 'client' | 'server'
export const other = (side: Side): Side => side === 'client' ? 'server' : 'client'
export const SIDES = ['client', 'server'] as const

const KIB = 1024
const MIN_WINDOW = 128 * KIB
const MAX_CREDIT = 2 ** 31 - 1
const FRAME_OVERHEAD = 64

/** One message as its receiver has it. */
export interface Arrival {
  readonly reqID: number
  readonly isChunked: boolean
  /** When its time is over, if it has a deadline. */
  readonly lateAt: number
  cost: number
  isWhole: boolean
  /** Whether the application took it, or nobody ever will. */
  isTaken: boolean
}

/** One direction of one session. */
export class Ledger {
  readonly window: number
  /** Cost of the frames that were written, and of those that arrived. */
  spent = 0
  charged = 0
  /** Bytes of the WindowUpdates that were written, and of those that arrived. */
  granted = 0
  gained = 0
  /** The message whose next chunk is to come, as its sender and as its receiver see it. */
  unfinished: number | undefined
  hasEnded: boolean
  readonly arrivals: Arrival[] = []

  constructor (announced: number, hasEnded: boolean) {
    this.window = Math.min(Math.max(announced, MIN_WINDOW), MAX_CREDIT)
    this.hasEnded = hasEnded
  }

  /** What the sender may spend, by what it has heard. */
  get credit (): number { return this.window + this.gained - this.spent }
  /** What the receiver has to be ready for. */
  get outstanding (): number { return this.window + this.granted - this.charged }
}

/** What became of one request. */
export interface Request {
  isWhole: boolean
  isCanceled: boolean
  hasArrived: boolean
  isStarted: boolean
  /** Whether the last word of its answer was written; and, with the turn, arrived. */
  isAnswered: boolean
  answerHeardAt: number | undefined
}

/** One session. */
export interface Books {
  readonly id: number
  readonly call: string
  readonly type: number
  /** What the client sends, what the server sends. */
  readonly client: Ledger
  readonly server: Ledger
  readonly requests: Map<number, Request>
  /** The turn in which each side said, and heard, that it is over. */
  readonly overSaid: Partial<Record<Side, number>>
  readonly overHeard: Partial<Record<Side, number>>
  /** Whether what was heard is a Cancel, which the server answers with its Close. */
  isCanceled: boolean
  isCancelHeard: boolean
}

/** Whether nobody has ended it. */
export function isLiving ({ overSaid }: Books): boolean { return overSaid.client === undefined && overSaid.server === undefined }

/** What a Payload costs: its unpacked frame and 64, if it is not one of the two that are free. */
export function costOf (books: Books, from: Side, { payload, endStream, errCode }: Payload, frameBytes: number): number {
  const isSync = books.type === RpcType.Synchronous
  const isFree = payload.byteLength === 0 && (isSync ? errCode !== 0 && from === 'server' : endStream)
  return isFree ? 0 : frameBytes + FRAME_OVERHEAD
}

/** The books in a line. */
export function describe ({ id, call, type, client, server, requests }: Books): string {
  const line = ({ window, spent, charged, granted, gained, unfinished, arrivals }: Ledger): string => {
    const untaken = arrivals.filter((arrival) => !arrival.isTaken).map(({ cost, isWhole }) => isWhole ? cost : -cost)
    return JSON.stringify({ window, spent, charged, granted, gained, unfinished, untaken })
  }
  const unanswered = [...requests].filter(([, request]) => !request.isAnswered).map(([reqID]) => reqID)
  return `session ${id} of ${call}, type ${type}: client ${line(client)} server ${line(server)} unanswered ${unanswered.join()}`
}
