/**
 * One synchronous RPC as a caller holds it. Chooses the session for each call: one for all on a 1.1
 * connection, one for each call at a time on a 1.0 connection; before the first answer of the server
 * nobody knows which it is, so the first call asks and the others wait for the answer.
 */
import type { CallOptions, RpcName, UnaryAnswer, UnaryClientCall, UnaryClientInterceptor } from '../../types/client-options.js'
import type { Clock } from '../../types/clock.js'
import type { DecompressSettings } from '../call/decompress.js'
import { compose } from '../call/interceptor.js'
import { tooLarge } from '../connection/faults.js'
import { MAX_MESSAGE_METADATA_BYTES, encodedMetadataBytes } from '../connection/limits.js'
import type { RpcError } from '../errors.js'
import { NO_METADATA } from '../metadata.js'
import { Descr, Payload, RpcType } from '../wire/message.js'
import { fitsOpen } from './open.js'
import type { OpenRequest, OpenRole, Opener } from './open.js'
import { PendingCall } from './pending-call.js'
import { FIRST_REQ_ID, SharedSession } from './shared-session.js'
import { SoloSession } from './solo-session.js'
import { deadlineMS } from './timeout.js'

/** Sessions kept open without a call on a 1.0 connection, for each RPC. */
const MAX_IDLE_SESSIONS = 16

/** What synchronous RPCs need of their client. */
export interface SyncHost {
  readonly clock: Clock
  readonly role: OpenRole
  readonly settings: DecompressSettings & { readonly maxSendMsgSize: number }
  readonly interceptors: readonly UnaryClientInterceptor[]
  /** The minor version agreed with the server; undefined before its first answer. */
  readonly minor: () => 0 | 1 | undefined
  /** Why no call can be made any more, if that is so. */
  readonly refusal: () => RpcError | undefined
  readonly onStarted: () => void
  readonly onEnded: () => void
}

export class SyncMethod {
  #shared: SharedSession | undefined
  readonly #idle: SoloSession[] = []
  /** Calls that wait for the first answer of the server. */
  #waiting: PendingCall[] = []
  #isOpening = false
  readonly #descr = new Descr()
  readonly #host: SyncHost
  readonly #name: RpcName

  /** @internal made by Client.sync */
  constructor (host: SyncHost, name: RpcName) {
    this.#host = host
    this.#name = name
    this.#descr.package = name.package
    this.#descr.service = name.service
    this.#descr.call = name.call
    this.#descr.type = RpcType.Synchronous
  }

  /**
   * Calls it: the request's bytes for the answer's. Do not change the request before the answer is there;
   * the answer is the caller's own.
   * @throws RpcError the outcome of the call where it is not an answer.
   */
  call (request: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    if (this.#host.interceptors.length > 0) return this.exchange(request, options).then((answer) => answer.payload)
    return this.#start(request, options, false)
  }

  /** Like `call`, and the metadata that came with the answer. */
  exchange (request: Uint8Array, options?: CallOptions): Promise<UnaryAnswer> {
    const { interceptors } = this.#host
    if (interceptors.length === 0) return this.#start(request, options, true)
    const innermost = (call: UnaryClientCall): Promise<UnaryAnswer> => this.#start(call.request, call.options, true)
    return compose(interceptors, innermost)({ ...this.#name, type: RpcType.Synchronous, request, options: options ?? {} })
  }

  #start (request: Uint8Array, options: CallOptions | undefined, wantsMetadata: false): Promise<Uint8Array>
  #start (request: Uint8Array, options: CallOptions | undefined, wantsMetadata: true): Promise<UnaryAnswer>
  #start (request: Uint8Array, options: CallOptions | undefined, wantsMetadata: boolean): Promise<Uint8Array | UnaryAnswer> {
    return new Promise((resolve, reject) => {
      const call = this.#begin(request, options, wantsMetadata, resolve, reject)
      const refusal = this.#host.refusal() ?? this.#tooLarge(request)
      if (refusal === undefined) this.#dispatch(call)
      else call.fail(refusal)
    })
  }

  #begin (request: Uint8Array, options: CallOptions | undefined, wantsMetadata: boolean,
    resolve: (answer: Uint8Array | UnaryAnswer) => void, reject: (error: RpcError) => void): PendingCall {
    const host = this.#host
    host.onStarted()
    try {
      return new PendingCall(host, request, options, wantsMetadata, resolve, reject)
    } catch (error) {
      host.onEnded()
      throw error
    }
  }

  #tooLarge (request: Uint8Array): RpcError | undefined {
    const { maxSendMsgSize } = this.#host.settings
    return request.byteLength > maxSendMsgSize ? tooLarge(request.byteLength, `maxSendMsgSize of ${maxSendMsgSize}`) : undefined
  }

  #dispatch (call: PendingCall): void {
    if (call.isSettled) return
    const minor = this.#host.minor()
    // More than one request may carry travels in an Open of its own.
    if (minor === 1 && call.metadata.length > 0 && encodedMetadataBytes(call.metadata) > MAX_MESSAGE_METADATA_BYTES) return this.#openSolo(call, false)
    if (this.#shared !== undefined) return this.#shared.request(call)
    if (minor === 0) {
      const solo = call.isPlain ? this.#idle.pop() : undefined
      if (solo !== undefined) solo.request(call)
      else this.#openSolo(call, false)
      return
    }
    if (this.#isOpening) {
      this.#waiting.push(call)
      return
    }
    this.#isOpening = true
    // What only 1.1 can say for one request must stand in the Open while a 1.0 server may read it.
    if (minor === undefined && !call.isPlain) this.#openSolo(call, true)
    else this.#openShared(call)
  }

  #openShared (call: PendingCall): void {
    this.#open(call, { first: this.#first(call, true), metadata: NO_METADATA, deadlineMS: 0n }, true, (create, headers, firstTaken) => {
      if (this.#host.minor() !== 1) {
        const solo = this.#newSolo(true)
        return solo.begin(create(solo), headers, call, false)
      }
      const shared = this.#shared = new SharedSession(this.#host.settings, (closed) => { if (this.#shared === closed) this.#shared = undefined })
      shared.begin(create(shared), headers, firstTaken ? call : undefined)
      if (!firstTaken) shared.request(call)
    })
  }

  /** @param isAwaited whether others wait for the answer to learn what the server speaks. */
  #openSolo (call: PendingCall, isAwaited: boolean): void {
    const leftMS = deadlineMS(call.deadlineAt, this.#host.clock.now())
    this.#open(call, { first: this.#first(call, false), metadata: call.metadata, deadlineMS: leftMS }, isAwaited, (create, headers, firstTaken) => {
      const solo = this.#newSolo(call.isPlain)
      solo.begin(create(solo), headers, call, firstTaken)
    })
  }

  /** @param isReusable whether other calls may use the session when this one is done. */
  #newSolo (isReusable: boolean): SoloSession {
    return new SoloSession(this.#host.settings, {
      idle: (solo) => {
        if (isReusable && this.#host.minor() === 0 && this.#idle.length < MAX_IDLE_SESSIONS && this.#host.refusal() === undefined) this.#idle.push(solo)
        else solo.close()
      },
      closed: (solo) => {
        const at = this.#idle.indexOf(solo)
        if (at !== -1) this.#idle.splice(at, 1)
      }
    })
  }

  #open (call: PendingCall, wanted: Omit<OpenRequest, 'descr'>, isAwaited: boolean, onOpened: Opener['onOpened']): void {
    const { refusal } = this.#host.role
    if (refusal !== undefined) return this.#refused(call, isAwaited, refusal)
    const giveUp = this.#host.role.open({ descr: this.#descr, ...wanted }, {
      onOpened: (create, headers, firstTaken) => {
        onOpened(create, headers, firstTaken)
        if (isAwaited) this.#opened()
      },
      onRefused: (error) => { this.#refused(call, isAwaited, error) }
    })
    call.holder = {
      giveUp: () => {
        giveUp()
        if (isAwaited) this.#opened()
      }
    }
  }

  /** The request as it travels in an Open. @param isShared whether it speaks for itself, not the Open for it. */
  #first (call: PendingCall, isShared: boolean): Payload | undefined {
    const first = new Payload()
    first.reqID = FIRST_REQ_ID
    first.payload = call.request
    if (isShared) {
      first.metadata = call.metadata
      first.deadlineMS = deadlineMS(call.deadlineAt, this.#host.clock.now())
    }
    return fitsOpen(first) ? first : undefined
  }

  /** The server has answered (or nobody waits for it any more): who waited goes on. */
  #opened (): void {
    this.#isOpening = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const call of waiting) this.#dispatch(call)
  }

  /** What the Open of a plain call is refused for, the others would be refused for too. */
  #refused (call: PendingCall, isAwaited: boolean, error: RpcError): void {
    if (!isAwaited) return call.fail(error)
    if (!call.isPlain) {
      call.fail(error)
      return this.#opened()
    }
    this.#isOpening = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const refused of [call, ...waiting]) refused.fail(error)
  }
}
