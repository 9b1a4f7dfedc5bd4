/**
 * One synchronous call that waits for its answer, wherever it is just now: in line for a session, in an
 * Open, on its way. Settles once; its timer and listener are gone afterwards.
 */
import type { Clock, Timer } from '../../types/clock.js'
import type { CallOptions, UnaryAnswer } from '../../types/client-options.js'
import { decompressPayload } from '../call/decompress.js'
import type { DecompressSettings } from '../call/decompress.js'
import { deadlineExceeded } from '../connection/faults.js'
import { ErrorCode, RpcError, categoryFromCode } from '../errors.js'
import { Metadata, NO_METADATA, metadataEntries } from '../metadata.js'
import type { MetadataEntry } from '../metadata.js'
import type { Payload } from '../wire/message.js'
import { abortError } from './call-errors.js'
import { misuse } from './misuse.js'
import { deadlineAfter } from './timeout.js'

/** What every call of a client shares. */
export interface CallHost {
  readonly clock: Clock
  /** A call is over, whatever the outcome. Called before its promise is settled. */
  readonly onEnded: () => void
}

/** Who has the call in hand just now, and is told when the caller gives up. */
export interface CallHolder {
  giveUp (call: PendingCall, reason: RpcError): void
}

type Resolve = (answer: Uint8Array | UnaryAnswer) => void

export class PendingCall {
  readonly request: Uint8Array
  readonly metadata: readonly MetadataEntry[]
  /** Clock milliseconds; undefined for none. */
  readonly deadlineAt: number | undefined
  holder: CallHolder | undefined
  /** The holder's note: the ReqID on its session. */
  reqID = 0
  /** The holder's note: whether some of the request still waits to be written. */
  isSending = false
  #isSettled = false
  #timer: Timer | undefined
  #signal: AbortSignal | undefined
  #onAbort: (() => void) | undefined
  readonly #host: CallHost
  readonly #wantsMetadata: boolean
  readonly #resolve: Resolve
  readonly #reject: (error: RpcError) => void

  /**
   * @param wantsMetadata whether `resolve` gets a UnaryAnswer instead of bytes.
   * @throws TypeError CLAW_ERR_ARGUMENT_INVALID for options that make no sense; then nothing was begun.
   */
  constructor (host: CallHost, request: Uint8Array, options: CallOptions | undefined, wantsMetadata: boolean, resolve: Resolve, reject: (error: RpcError) => void) {
    if (!(request instanceof Uint8Array)) throw misuse(ErrorCode.ARGUMENT_INVALID, 'a request must be a Uint8Array')
    this.request = request
    this.#host = host
    this.#wantsMetadata = wantsMetadata
    this.#resolve = resolve
    this.#reject = reject
    if (options === undefined) {
      this.metadata = NO_METADATA
      this.deadlineAt = undefined
      return
    }
    const { signal } = options
    const now = host.clock.now()
    this.metadata = metadataEntries(options.metadata)
    this.deadlineAt = deadlineAfter(now, options.timeoutMs)
    const leftMs = this.deadlineAt === undefined ? undefined : this.deadlineAt - now
    if (signal?.aborted === true) this.fail(abortError(signal))
    else if (leftMs !== undefined && leftMs < 1) this.fail(deadlineExceeded())
    else {
      if (leftMs !== undefined) this.#timer = host.clock.timer(leftMs, () => { this.#giveUp(deadlineExceeded()) })
      if (signal !== undefined) {
        this.#signal = signal
        this.#onAbort = () => { this.#giveUp(abortError(signal)) }
        signal.addEventListener('abort', this.#onAbort, { once: true })
      }
    }
  }

  get isSettled (): boolean { return this.#isSettled }
  /** Whether it says anything that a session shared with other calls cannot say on a 1.0 connection. */
  get isPlain (): boolean { return this.deadlineAt === undefined && this.metadata.length === 0 }

  /** The answer's message: its content, or the failure it tells. @param headers metadata of the session's OpenAck. */
  answer (message: Payload, headers: Metadata, settings: DecompressSettings): void {
    if (this.#isSettled) return
    if (message.errCode !== 0) {
      return this.fail(new RpcError(categoryFromCode(message.errCode), message.error, { metadata: Metadata.fromEntries(message.metadata) }))
    }
    if (message.compression === 0) return this.#succeed(message.payload, message, headers)
    this.#decompress(message, headers, settings).catch((error: unknown) => { this.fail(RpcError.from(error)) })
  }

  fail (error: RpcError): void {
    if (this.#isSettled) return
    this.#end()
    this.#reject(error)
  }

  async #decompress (message: Payload, headers: Metadata, settings: DecompressSettings): Promise<void> {
    this.#succeed(await decompressPayload(message, settings), message, headers)
  }

  #succeed (payload: Uint8Array, message: Payload, headers: Metadata): void {
    if (this.#isSettled) return
    this.#end()
    this.#resolve(this.#wantsMetadata ? { payload, metadata: Metadata.fromEntries(message.metadata), headers: new Metadata(headers) } : payload)
  }

  #giveUp (reason: RpcError): void {
    if (this.#isSettled) return
    this.holder?.giveUp(this, reason)
    this.fail(reason)
  }

  #end (): void {
    this.#isSettled = true
    this.#timer?.stop()
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort)
    this.holder = undefined
    this.#host.onEnded()
  }
}
