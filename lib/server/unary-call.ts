/**
 * One synchronous request from arrival to answer: waits for its turn, runs the handler inside the
 * interceptors, and has exactly one outcome: the handler's, or (on cancel, deadline, end of the session)
 * the server's own, after which the handler's is thrown away.
 *
 *   arrived --gate, pool--> running --handler--> answered
 *      `--------giveUp/abandon----'---> settled without the handler
 *
 * It keeps its places until the handler has returned and the answer was handed over or dropped, so that
 * neither a peer that does not read nor one that cancels gets more than its share.
 */
import type { Timer } from '../../types/clock.js'
import type { UnaryServerCall } from '../../types/interceptor.js'
import { decompressPayload } from '../call/decompress.js'
import { detached } from '../call/detached.js'
import { compose } from '../call/interceptor.js'
import { deadlineExceeded } from '../connection/faults.js'
import type { Session } from '../connection/session.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import { NO_METADATA } from '../metadata.js'
import type { Payload } from '../wire/message.js'
import { CallContext } from './context.js'
import type { SessionContext } from './context.js'
import { deadlineIn } from './deadline.js'
import type { SyncHandler } from './handlers.js'
import { checkAnswer, outcomeOf } from './outcome.js'
import type { Registration } from './registry.js'
import type { GateUser, RequestGate } from './request-gate.js'
import type { Run } from './run-pool.js'
import type { CallRecord, CallServices } from './services.js'

/** What a request needs of its session's calls. */
export interface UnaryCallOwner {
  readonly context: SessionContext
  readonly registration: Registration
  readonly services: CallServices
  readonly session: Session
  readonly gate: RequestGate
  /** Sends the answer; undefined or a promise as Session.send. Throws when it cannot be sent (too large). */
  answered (call: UnaryCall, bytes: Uint8Array): Promise<void> | undefined
  /** Tells the peer that it failed; a promise while that waits. */
  failed (call: UnaryCall, error: RpcError): Promise<void> | undefined
}

export class UnaryCall implements Run, GateUser, CallRecord {
  place: Run['place'] = 'none'
  gatePlace: GateUser['gatePlace'] = 'none'
  readonly reqID: number
  readonly cost: number
  readonly startedAt: number
  receivedMessages = 1
  receivedBytes: number
  sentMessages = 0
  sentBytes = 0
  /** Whether the handler was called. */
  isStarted = false
  context!: CallContext
  /** Whether the outcome is known; later ones are ignored. */
  #isSettled = false
  /** Whether the handler runs. */
  #isRunning = false
  /** Whether the peer was told the outcome, or never will be. */
  #isTold = false
  #deadlineTimer: Timer | undefined
  readonly #message: Payload
  readonly #owner: UnaryCallOwner

  constructor (owner: UnaryCallOwner, message: Payload, cost: number) {
    this.#owner = owner
    this.#message = message
    this.reqID = message.reqID
    this.cost = cost
    this.receivedBytes = message.payload.byteLength
    this.startedAt = owner.session.receivedAt
  }

  /** Begins: sets the deadline and waits for a place. @param sessionDeadlineAt clock milliseconds; the earlier deadline counts. */
  arrive (sessionDeadlineAt: number | undefined): void {
    const { services, context, gate } = this.#owner
    const ms = deadlineIn(this.#message.deadlineMS, services.maxDeadlineMs)
    const sessionMs = sessionDeadlineAt === undefined ? undefined : sessionDeadlineAt - services.clock.now()
    const shown = ms === undefined || (sessionMs !== undefined && sessionMs < ms) ? sessionMs : ms
    this.context = new CallContext(context, this.reqID, this.#message.metadata ?? NO_METADATA, shown === undefined ? undefined : Date.now() + shown)
    services.observer.callStarted(this)
    if (ms !== undefined) this.#deadlineTimer = services.clock.timer(ms, () => { this.giveUp(deadlineExceeded()) })
    gate.enter(this)
    if (!this.isStarted) detached(this.#message)
  }

  admitted (): void {
    if (this.#isSettled) return this.#leave()
    if (this.#owner.services.pool.enter(this)) return
    this.giveUp(new RpcError(Category.ResourceExhausted, 'too many RPCs are waiting', { code: ErrorCode.TOO_MANY_QUEUED }))
  }

  /** Its turn in the pool. */
  start (): void {
    if (this.#isSettled) return this.#leave()
    this.isStarted = this.#isRunning = true
    this.#owner.session.taken(this.cost)
    try {
      const bytes = decompressPayload(this.#message, this.#owner.services.decompress)
      if (bytes instanceof Uint8Array) this.#invoke(bytes)
      else bytes.then((plain) => { this.#invoke(plain) }, (error: unknown) => { this.#threw(error) })
    } catch (error) {
      this.#threw(error)
    }
  }

  /** The server itself answers: with this error, at once. The handler, if it runs, is told by its signal. */
  giveUp (reason: RpcError): void {
    if (this.#isSettled) return
    this.#settle(reason, undefined)
    this.context.abort(reason)
    this.#told(this.#owner.failed(this, reason))
  }

  /** Nobody gets an answer any more. */
  abandon (reason: RpcError): void {
    if (this.#isSettled) return
    this.#settle(reason, undefined)
    this.context.abort(reason)
    this.#told(undefined)
  }

  #invoke (request: Uint8Array): void {
    const { registration, services } = this.#owner
    const handler = registration.handler as SyncHandler
    const own = registration.interceptors?.unary()
    const { context } = this
    if (this.#isSettled) return this.#returned()
    try {
      let answer: Uint8Array | Promise<Uint8Array>
      if (services.unaryInterceptors.length === 0 && (own === undefined || own.length === 0)) {
        answer = handler.handle(context, request, context.metadata)
      } else {
        const innermost = async (call: UnaryServerCall): Promise<Uint8Array> => handler.handle(call.context, call.request, call.metadata)
        answer = compose([...services.unaryInterceptors, ...(own ?? [])], innermost)({ context, request, metadata: context.metadata })
      }
      if (answer instanceof Uint8Array) this.#answer(answer)
      else Promise.resolve(answer).then((value) => { this.#answer(value) }, (error: unknown) => { this.#threw(error) })
    } catch (error) {
      this.#threw(error)
    }
  }

  #answer (answer: unknown): void {
    if (this.#isSettled) return this.#returned()
    let sending: Promise<void> | undefined
    try {
      const bytes = checkAnswer(answer)
      sending = this.#owner.answered(this, bytes)
      this.sentMessages = 1
      this.sentBytes = bytes.byteLength
    } catch (error) {
      return this.#threw(error)
    }
    this.#settle(undefined, undefined)
    this.#isRunning = false
    this.#told(sending)
  }

  #threw (thrown: unknown): void {
    if (this.#isSettled) return this.#returned()
    const { error, foreign } = outcomeOf(thrown, this.context)
    this.#settle(error, foreign)
    this.#isRunning = false
    this.#told(this.#owner.failed(this, error))
  }

  #returned (): void {
    this.#isRunning = false
    this.#leave()
  }

  /** The peer is being told: the places are free when that is done, or will never be. */
  #told (sending: Promise<void> | undefined): void {
    if (sending === undefined) return this.#done()
    const done = (): void => { this.#done() }
    sending.then(done, done)
  }

  #done (): void {
    this.#isTold = true
    this.#leave()
  }

  #settle (error: RpcError | undefined, foreign: unknown): void {
    this.#isSettled = true
    this.#deadlineTimer?.stop()
    this.#owner.services.observer.callEnded(this, error, foreign)
  }

  #leave (): void {
    if (this.#isRunning || !this.#isTold) return
    if (!this.isStarted) this.#owner.session.taken(this.cost)
    this.#owner.services.pool.leave(this)
    this.#owner.gate.leave(this)
  }
}
