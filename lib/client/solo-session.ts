/**
 * A synchronous session with one request at a time: what a 1.0 server needs, where an error or a cancel
 * costs the session and requests of one session wait for each other (defects D13, D14).
 */
import type { DecompressSettings } from '../call/decompress.js'
import type { Session, SessionSink } from '../connection/session.js'
import { Category, RpcError, categoryFromCode } from '../errors.js'
import { Metadata } from '../metadata.js'
import type { Close, Payload } from '../wire/message.js'
import { sessionClosed } from './call-errors.js'
import { FIRST_REQ_ID } from './shared-session.js'
import type { CallHolder, PendingCall } from './pending-call.js'

export class SoloSession implements SessionSink, CallHolder {
  #call: PendingCall | undefined
  #session!: Session
  #headers!: Metadata
  #reqID = FIRST_REQ_ID
  readonly #settings: DecompressSettings
  readonly #on: { idle: (session: SoloSession) => void, closed: (session: SoloSession) => void }

  constructor (settings: DecompressSettings, on: { idle: (session: SoloSession) => void, closed: (session: SoloSession) => void }) {
    this.#settings = settings
    this.#on = on
  }

  /** The session exists. @param headers metadata of its OpenAck. @param firstTaken whether the request has travelled in the Open. */
  begin (session: Session, headers: Metadata, call: PendingCall, firstTaken: boolean): void {
    this.#session = session
    this.#headers = headers
    if (firstTaken) this.#hold(call)
    else this.request(call)
  }

  /** Sends the request; only while no other is under way. */
  request (call: PendingCall): void {
    this.#hold(call)
    const sending = this.#session.send(call.request, { reqID: this.#reqID, force: true })
    sending?.catch((error: unknown) => {
      if (this.#call !== call) return
      // Nothing was sent: the session is as good as before.
      this.#call = undefined
      call.fail(RpcError.from(error))
      if (!this.#session.isClosed) this.#on.idle(this)
    })
  }

  /** Ends the session, which has no request under way. */
  close (): void { this.#session.close(undefined) }

  onMessage (message: Payload, cost: number): void {
    this.#session.taken(cost)
    const call = this.#call
    if (call === undefined || message.reqID !== this.#reqID) return
    this.#call = undefined
    this.#reqID++
    call.answer(message, this.#headers, this.#settings)
    this.#on.idle(this)
  }

  onEnd (): void {}
  onCancel (): void {}

  onPeerClose (close: Close): void {
    this.#session.finish(sessionClosed())
    this.#failed(close.errCode === 0
      ? new RpcError(Category.Unavailable, 'session closed by the server')
      : new RpcError(categoryFromCode(close.errCode), close.error, { metadata: Metadata.fromEntries(close.metadata) }))
  }

  onFail (error: RpcError): void { this.#failed(error) }
  onBadMessage (_reqID: number, error: RpcError): void {
    this.#session.cancel(0, error)
    this.#failed(error)
  }

  #hold (call: PendingCall): void {
    this.#call = call
    call.holder = this
  }

  /** The caller waits no more: the session goes with the call. */
  giveUp (call: PendingCall, reason: RpcError): void {
    if (this.#call !== call) return
    this.#call = undefined
    this.#session.cancel(0, reason)
    this.#on.closed(this)
  }

  #failed (error: RpcError): void {
    const call = this.#call
    this.#call = undefined
    this.#on.closed(this)
    call?.fail(error)
  }
}
