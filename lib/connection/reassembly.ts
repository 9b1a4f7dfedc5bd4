/**
 * The large messages of one session, one at a time: from chunks to the whole, with a place of the connection where the
 * message is larger than the window, and what all of it cost until somebody takes it (protocol 1.1, section 6). Made
 * when the first chunk comes. It knows neither states nor sinks: the session judges and delivers.
 */
import { ProtocolError } from '../errors.js'
import type { RpcError } from '../errors.js'
import type { Clock } from '../../types/clock.js'
import type { Payload } from '../wire/message.js'
import { Assembly, checkChunk } from './assembly.js'
import { deadlineExceeded, messageTooLarge } from './faults.js'

/**
 * The cost of a whole message whose chunks were credited as they came: taking it gives back no credit but
 * the place in which it was put together.
 */
export const PLACED = -1

/** What it needs of its session. */
export interface ReassemblyUser {
  readonly clock: Clock
  readonly maxRecvMsgSize: number
  readonly isSynchronous: boolean
  /** These costs may be spent again. */
  readonly returnCredit: (cost: number) => void
  readonly deliver: (payload: Payload, cost: number) => void
  /** A message of the peer is refused. */
  readonly refuse: (reqID: number, error: RpcError) => void
  readonly requestPlace: () => void
  readonly releasePlace: () => void
}

export class Reassembly {
  #assembly: Assembly | undefined
  /** Whether a whole message that was credited as it came, and nobody took yet, keeps the place. */
  #isPlaceKept = false
  /** Whether nobody will take any more. */
  #isUnread: boolean
  readonly #user: ReassemblyUser

  constructor (user: ReassemblyUser, isUnread: boolean) {
    this.#user = user
    this.#isUnread = isUnread
  }

  /** The message that is being put together. */
  get assembly (): Assembly | undefined { return this.#assembly }

  /** A chunk, or a whole message between the chunks of another. @throws ProtocolError */
  handle (payload: Payload, cost: number): void {
    const { clock, maxRecvMsgSize, returnCredit, deliver } = this.#user
    checkChunk(payload)
    if (this.#assembly !== undefined && this.#assembly.reqID !== payload.reqID) {
      if (payload.more) throw new ProtocolError('two unfinished messages', { scope: 'session' })
      return deliver(payload, cost)
    }
    const assembly = this.#assembly ?? this.#begin(payload)
    assembly.lastChunkAt = clock.now()
    if (payload.errCode !== 0) {
      // The answer that had begun ends as a failure.
      this.#drop(assembly)
      return deliver(payload, cost)
    }
    if (assembly.isDiscarding) {
      returnCredit(cost)
      if (!payload.more) this.#end()
      return
    }
    if (!assembly.add(payload, maxRecvMsgSize)) {
      this.#discard(assembly)
      returnCredit(cost)
      if (!payload.more) this.#end()
      return this.#user.refuse(assembly.reqID, messageTooLarge(maxRecvMsgSize))
    }
    if (assembly.hasPlace) returnCredit(cost)
    else assembly.uncredited += cost
    if (!payload.more) this.#finish(assembly, payload)
  }

  /** The connection has a place now: what is stored is credited. */
  placeGranted (): void {
    const assembly = this.#assembly
    if (assembly === undefined || assembly.isDiscarding) return this.#user.releasePlace()
    assembly.hasPlace = true
    this.#returnUncredited(assembly)
  }

  /** The message that kept the place was taken. */
  placeTaken (): void {
    this.#isPlaceKept = false
    this.#user.releasePlace()
    if (this.#assembly?.isDiscarding === false) this.#user.requestPlace()
  }

  /** No more comes of this request, or with 0 of any. Answers whether it is one that has no answer yet. */
  cancel (reqID: number): boolean {
    const assembly = this.#assembly
    if (assembly === undefined || (reqID !== 0 && assembly.reqID !== reqID)) return false
    const isAnswered = assembly.isDiscarding
    this.#drop(assembly)
    return !isAnswered
  }

  /** Nobody will take any more: what is stored, and what comes, is thrown away. */
  ignore (): void {
    this.#isUnread = true
    if (this.#assembly === undefined) return
    this.#discard(this.#assembly)
    if (!this.#isPlaceKept) this.#user.releasePlace()
  }

  /** The session is over. */
  close (): void {
    if (this.#assembly !== undefined || this.#isPlaceKept) this.#user.releasePlace()
    this.#assembly = undefined
  }

  #begin (head: Payload): Assembly {
    const assembly = this.#assembly = new Assembly(head, this.#user.clock.now())
    if (this.#isUnread) assembly.discard()
    else if (!this.#isPlaceKept) this.#user.requestPlace()
    return assembly
  }

  #finish (assembly: Assembly, last: Payload): void {
    const { clock, isSynchronous, deliver, refuse, returnCredit } = this.#user
    const now = clock.now()
    const isLate = isSynchronous && assembly.isLate(now)
    if (assembly.hasPlace && !isLate) {
      this.#assembly = undefined
      this.#isPlaceKept = true
      return deliver(assembly.join(last, now), PLACED)
    }
    this.#end()
    if (!isLate) return deliver(assembly.join(last, now), assembly.uncredited)
    returnCredit(assembly.uncredited)
    refuse(assembly.reqID, deadlineExceeded())
  }

  #discard (assembly: Assembly): void {
    assembly.discard()
    this.#returnUncredited(assembly)
  }

  #returnUncredited (assembly: Assembly): void {
    const cost = assembly.uncredited
    assembly.uncredited = 0
    this.#user.returnCredit(cost)
  }

  /** Forgets the message altogether: no more of it will come. */
  #drop (assembly: Assembly): void {
    this.#discard(assembly)
    this.#end()
  }

  #end (): void {
    this.#assembly = undefined
    if (!this.#isPlaceKept) this.#user.releasePlace()
  }
}
