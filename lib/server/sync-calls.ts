/**
 * The requests of one synchronous session. On a 1.1 connection they run concurrently and each has its own
 * outcome; a 1.0 peer gets them one after another and loses the session with the first error, because it
 * knows no other way to be told (protocol 1.0, 5.2; 1.1, section 4).
 */
import { detached } from '../call/detached.js'
import { deadlineExceeded } from '../connection/faults.js'
import { Inbox } from '../connection/inbox.js'
import type { Session, SessionSink } from '../connection/session.js'
import { Category, ProtocolError } from '../errors.js'
import type { RpcError } from '../errors.js'
import { IdMap } from '../id-map.js'
import { NO_METADATA } from '../metadata.js'
import type { Close, Payload } from '../wire/message.js'
import type { Timer } from '../../types/clock.js'
import type { SessionContext } from './context.js'
import { deadlineIn } from './deadline.js'
import { canceled } from './outcome.js'
import type { Registration } from './registry.js'
import type { RequestGate } from './request-gate.js'
import type { CallServices } from './services.js'
import { UnaryCall } from './unary-call.js'
import type { UnaryCallOwner } from './unary-call.js'

/** How long the Close of a failed request waits toward a 1.0 peer: a Go client whose answer and Close race panics (defect D8). */
const FAILURE_CLOSE_DELAY_MS = 5

/** How long after a GoAway a request may still come that was said before it was heard. */
const CROSSING_MS = 500

const noop = (): void => {}

export interface SyncCallsInit {
  readonly context: SessionContext
  readonly registration: Registration
  readonly services: CallServices
  /** DeadlineMS of the Open. */
  readonly deadlineMS: bigint
  readonly isMinor1: boolean
  readonly gate: RequestGate
}

export class SyncCalls implements SessionSink, UnaryCallOwner {
  session!: Session
  readonly context: SessionContext
  readonly registration: Registration
  readonly services: CallServices
  readonly gate: RequestGate
  readonly #isMinor1: boolean
  readonly #unanswered = new IdMap<UnaryCall>()
  /** 1.0 only: requests behind the one that runs. */
  readonly #waiting = new Inbox<UnaryCall>()
  readonly #deadlineAt: number | undefined
  #deadlineTimer: Timer | undefined
  #delayTimer: Timer | undefined
  /** Runs while requests may still come that crossed the GoAway. */
  #crossingTimer: Timer | undefined
  /** The peer closed a 1.0 session: it ends when every request was answered. */
  #isEnding = false
  /** Its last words are said, though they may still wait: requests that come now were never started. */
  #isOver = false
  /** Set while draining: an idle session is closed with it. */
  #drainReason: RpcError | undefined

  constructor (init: SyncCallsInit) {
    this.context = init.context
    this.registration = init.registration
    this.services = init.services
    this.gate = init.gate
    this.#isMinor1 = init.isMinor1
    const ms = deadlineIn(init.deadlineMS, 0)
    if (ms !== undefined) {
      this.#deadlineAt = this.services.clock.now() + ms
      this.#deadlineTimer = this.services.clock.timer(ms, () => { this.#sessionDeadline() })
    }
  }

  /** Requests that are running or waiting to run. */
  get pending (): number { return this.#unanswered.size }

  /** Begins, once the session exists (which needed this sink first). */
  begin (session: Session): void {
    this.session = session
    // A request takes its turn after it has come.
    session.isRunning = false
  }

  onMessage (message: Payload, cost: number): void {
    if (this.#isOver) return this.session.taken(cost)
    const { reqID } = message
    if (this.#isMinor1) {
      if (message.errCode !== 0) throw new ProtocolError('ErrCode from a client', { scope: 'session', category: Category.InvalidArgument })
      this.#checkReqID(reqID)
    }
    if (!this.#isMinor1 && this.#unanswered.size > 0) return this.#waiting.push(new UnaryCall(this, detached(message), cost))
    const call = new UnaryCall(this, message, cost)
    this.#unanswered.set(reqID, call)
    call.arrive(this.#deadlineAt)
  }

  onBadMessage (reqID: number, error: RpcError): void {
    if (this.#isOver) return
    this.#checkReqID(reqID)
    this.#sendFailure(reqID, error).catch(noop)
  }

  onEnd (): void {}

  onCancel (reqID: number): void {
    const call = this.#unanswered.get(reqID)
    if (this.#isMinor1 && reqID === 0) return this.#end(canceled('session canceled by the client'), canceled('session canceled by the client'))
    if (call !== undefined) {
      const reason = canceled('canceled by the client')
      if (this.#isMinor1) return call.giveUp(reason)
      // A 1.0 caller waits no more: its handler is told, and what it answers is thrown away.
      call.abandon(reason)
      return this.#next(call)
    }
    if (this.#isMinor1) return
    const dropped = this.#waiting.remove((waiting) => waiting.reqID === reqID)
    for (const waiting of dropped) this.session.taken(waiting.cost)
    // With 0 a Go client may mean everything; the rest of the session's requests are still answered.
    if (reqID === 0 && dropped.length === 0) this.onPeerClose()
  }

  onPeerClose (_close?: Close): void {
    if (!this.#isMinor1) {
      this.#isEnding = true
      this.session.endReceiving()
      return this.#endIfDone()
    }
    this.#stopTimers()
    this.session.finish()
    this.#abandonAll(canceled('session closed by the client'))
  }

  onFail (error: RpcError): void {
    this.#stopTimers()
    this.#abandonAll(error)
  }

  /**
   * Drain: a session without requests is closed. Requests that run are finished, and so are those that a 1.1 client
   * said before it heard of the drain: its session stays for a moment, unless it leaves by itself.
   */
  drain (reason: RpcError): void {
    if (this.#drainReason !== undefined) return
    this.#drainReason = reason
    if (!this.#isMinor1) return this.#endIfDone()
    this.#crossingTimer = this.services.clock.timer(CROSSING_MS, () => {
      this.#crossingTimer = undefined
      this.#endIfDone()
    })
  }

  /** Forced shutdown: every request is told, then the session is closed. */
  forceEnd (reason: RpcError): void { this.#end(reason, reason) }

  /** @internal a call has its answer. */
  answered (call: UnaryCall, bytes: Uint8Array): Promise<void> | undefined {
    const { trailerEntries } = call.context
    if (trailerEntries === undefined && this.session.trySend(call.reqID, bytes)) {
      this.#settled(call)
      return undefined
    }
    const metadata = trailerEntries ?? NO_METADATA
    const refusal = this.session.outbox.refusal(bytes, metadata)
    if (refusal !== undefined) throw refusal
    const sending = this.session.send(bytes, { reqID: call.reqID, metadata, force: true })
    // A 1.0 peer has no credit: that the next request waits for the answer bounds what is held for it.
    if (this.#isMinor1 || sending === undefined) this.#settled(call)
    else sending.then(() => { this.#settled(call) }, () => {})
    return sending
  }

  /** @internal a call failed. */
  failed (call: UnaryCall, error: RpcError): Promise<void> | undefined {
    if (this.session.isClosed) return undefined
    if (this.#isMinor1) {
      const sending = this.#sendFailure(call.reqID, error)
      this.#settled(call)
      return sending
    }
    // It costs the session: nothing more is started on it.
    this.session.endReceiving()
    this.#stopTimers()
    this.#delayTimer = this.services.clock.timer(FAILURE_CLOSE_DELAY_MS, () => { this.#end(error, error) })
    return undefined
  }

  /** The promise fails only with the session, whose end every call is told anyway. */
  #sendFailure (reqID: number, error: RpcError): Promise<void> {
    return this.session.outbox.sendFailure(reqID, error)
  }

  #settled (call: UnaryCall): void {
    if (!this.#isMinor1) return this.#next(call)
    this.#unanswered.delete(call.reqID)
    if (this.#drainReason !== undefined) this.#endIfDone()
  }

  #next (ended: UnaryCall): void {
    if (this.#unanswered.get(ended.reqID) !== ended || this.#delayTimer !== undefined) return
    this.#unanswered.delete(ended.reqID)
    if (this.session.isClosed) return
    const next = this.#waiting.shift()
    if (next === undefined) return this.#endIfDone()
    this.#unanswered.set(next.reqID, next)
    next.arrive(this.#deadlineAt)
  }

  #endIfDone (): void {
    if (!this.#isEnding && (this.#drainReason === undefined || this.#crossingTimer !== undefined)) return
    if (this.session.isClosed || this.#unanswered.size > 0 || this.#waiting.length > 0) return
    this.session.outbox.afterAll(() => {
      // A request that crossed the GoAway may have begun meanwhile: its answer comes first, and looks again.
      if (this.#unanswered.size > 0 || this.#waiting.length > 0) return
      this.#stopTimers()
      this.session.close(this.#isEnding ? undefined : this.#drainReason)
    })
  }

  #sessionDeadline (): void {
    const reason = deadlineExceeded()
    if (this.#isMinor1) for (const call of this.#unanswered.values()) call.giveUp(reason)
    this.#end(reason, reason)
  }

  #end (closeWith: RpcError, reason: RpcError): void {
    this.#isOver = true
    this.#stopTimers()
    if (this.#isMinor1 && reason.category !== Category.Canceled) {
      // Whatever was started gets its answer before the Close (a request unanswered at a Close was never started).
      // Answers that still wait for credit are cut: the Close must not wait with them.
      for (const reqID of this.session.outbox.dropContent(reason)) this.#sendFailure(reqID, reason).catch(noop)
      for (const call of this.#unanswered.values()) if (call.isStarted) call.giveUp(reason)
      this.session.closeAfterAll(closeWith, NO_METADATA)
    } else this.session.close(closeWith, closeWith.metadata.toEntries())
    this.#abandonAll(reason)
  }

  #abandonAll (reason: RpcError): void {
    const calls = this.#unanswered.values()
    this.#unanswered.clear()
    this.#waiting.clear()
    for (const call of calls) call.abandon(reason)
  }

  #checkReqID (reqID: number): void {
    if (reqID === 0) throw new ProtocolError('request without ReqID', { scope: 'session', category: Category.InvalidArgument })
    if (this.#unanswered.has(reqID)) throw new ProtocolError(`ReqID ${reqID} is in use`, { scope: 'session', category: Category.InvalidArgument })
  }

  #stopTimers (): void {
    this.#deadlineTimer?.stop()
    this.#delayTimer?.stop()
    this.#crossingTimer?.stop()
  }
}
