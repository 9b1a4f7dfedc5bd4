/**
 * A synchronous session of a 1.1 connection: any number of requests at a time, each with its own ReqID
 * and its own outcome (protocol 1.1, section 4).
 */
import type { DecompressSettings } from '../call/decompress.js'
import type { Session, SessionSink } from '../connection/session.js'
import { Category, RpcError, categoryFromCode } from '../errors.js'
import { IdMap } from '../id-map.js'
import type { Metadata } from '../metadata.js'
import type { Close, Payload } from '../wire/message.js'
import { sessionClosed } from './call-errors.js'
import type { CallHolder, PendingCall } from './pending-call.js'

/** The ReqID of a request inside an Open. */
export const FIRST_REQ_ID = 1
const MAX_REQ_ID = 0xffffffff

export class SharedSession implements SessionSink, CallHolder {
  readonly #pending = new IdMap<PendingCall>()
  readonly #settings: DecompressSettings
  readonly #onClosed: (session: SharedSession) => void
  #session!: Session
  #headers!: Metadata
  #lastReqID = 0

  constructor (settings: DecompressSettings, onClosed: (session: SharedSession) => void) {
    this.#settings = settings
    this.#onClosed = onClosed
  }

  /** The session exists. @param headers metadata of its OpenAck. @param first a request that travelled in the Open. */
  begin (session: Session, headers: Metadata, first: PendingCall | undefined): void {
    this.#session = session
    this.#headers = headers
    if (first === undefined) return
    this.#lastReqID = FIRST_REQ_ID
    this.#track(FIRST_REQ_ID, first)
  }

  get pendingCount (): number { return this.#pending.size }

  /** Sends a request. */
  request (call: PendingCall): void {
    const reqID = this.#nextReqID()
    this.#track(reqID, call)
    if (call.isPlain && this.#session.trySend(reqID, call.request)) return
    const options = call.isPlain ? { reqID, force: true } : { reqID, force: true, metadata: call.metadata, deadlineAt: call.deadlineAt }
    const sending = this.#session.send(call.request, options)
    if (sending === undefined) return
    call.isSending = true
    sending.then(() => { call.isSending = false }, (error: unknown) => {
      if (this.#pending.delete(reqID)) call.fail(RpcError.from(error))
    })
  }

  onMessage (message: Payload, cost: number): void {
    const { reqID } = message
    const call = this.#pending.get(reqID)
    // The caller holds the answer from here on, however long it looks at it.
    this.#session.taken(cost)
    if (call === undefined) return
    this.#pending.delete(reqID)
    // Almost never: the answer came before the request was whole.
    if (call.isSending) this.#stopSending(reqID, 'begun', sessionClosed())
    call.answer(message, this.#headers, this.#settings)
  }

  onBadMessage (reqID: number, error: RpcError): void {
    const call = this.#pending.get(reqID)
    if (call === undefined) return
    this.#pending.delete(reqID)
    this.#session.cancel(reqID, error)
    call.fail(error)
  }

  onEnd (): void {}
  onCancel (): void {}

  onPeerClose (close: Close): void {
    this.#session.finish(sessionClosed())
    const category = close.errCode === 0 ? Category.Unavailable : categoryFromCode(close.errCode)
    this.#failAll(new RpcError(category, close.errCode === 0 ? 'session closed by the server' : close.error))
  }

  onFail (error: RpcError): void { this.#failAll(error) }

  #track (reqID: number, call: PendingCall): void {
    this.#pending.set(reqID, call)
    call.holder = this
    call.reqID = reqID
  }

  /** The caller waits no more. */
  giveUp (call: PendingCall, reason: RpcError): void {
    if (this.#pending.delete(call.reqID)) this.#stopSending(call.reqID, 'unless unbegun', reason)
  }

  /** Drops what of the request still waits, and tells the server where it has seen some of it. */
  #stopSending (reqID: number, tell: 'begun' | 'unless unbegun', reason: RpcError): void {
    const progress = this.#session.outbox.drop(reqID, reason)
    if (tell === 'begun' ? progress === 'begun' : progress !== 'unbegun') this.#session.cancel(reqID, reason)
  }

  #failAll (error: RpcError): void {
    this.#onClosed(this)
    const calls = this.#pending.values()
    this.#pending.clear()
    for (const call of calls) call.fail(error)
  }

  #nextReqID (): number {
    do this.#lastReqID = this.#lastReqID === MAX_REQ_ID ? 1 : this.#lastReqID + 1
    while (this.#pending.has(this.#lastReqID))
    return this.#lastReqID
  }
}
