/**
 * One synchronous call that waits for its answer, wherever it is just now: in line for a session, in an
 * Open, on its way. Settles once; its timer and listener are gone afterwards.
 */
import type { Clock, Timer } from '../../types/clock.js'
import type { CallOptions } from '../../types/client-options.js'
import { decompressPayload } from '../call/decompress.js'
import type { DecompressSettings } from '../call/decompress.js'
import { ErrorCode, RpcError, categoryFromCode } from '../errors.js'
import { Metadata, NO_METADATA, metadataEntries } from '../metadata.js'
import type { MetadataEntry } from '../metadata.js'
import type { Payload } from '../wire/message.js'
import { abortError, deadlineError } from './call-errors.js'
import { misuse } from './misuse.js'
import { deadlineAfter } from './timeout.js'

/** Where the outcome goes; each function is called at most once. */
export interface CallOutcome {
  /** The answer: its bytes, decompressed, and the message they came in. */
  resolve (payload: Uint8Array, message: Payload): void
  reject (error: RpcError): void
  /** The call is over, whatever the outcome. Called before the other two. */
  ended (): void
}

export class PendingCall {
  readonly request: Uint8Array
  readonly metadata: readonly MetadataEntry[]
  /** Clock milliseconds; undefined for none. */
  readonly deadlineAt: number | undefined
  /** Told when the caller gives up; set by whoever holds the call just now. */
  onGiveUp: ((reason: RpcError) => void) | undefined
  #isSettled = false
  #timer: Timer | undefined
  readonly #signal: AbortSignal | undefined
  readonly #outcome: CallOutcome

  /** @throws TypeError CLAW_ERR_ARGUMENT_INVALID for options that make no sense; then nothing was begun. */
  constructor (request: Uint8Array, options: CallOptions | undefined, clock: Clock, outcome: CallOutcome) {
    if (!(request instanceof Uint8Array)) throw misuse(ErrorCode.ARGUMENT_INVALID, 'a request must be a Uint8Array')
    this.request = request
    this.#outcome = outcome
    if (options === undefined) {
      this.metadata = NO_METADATA
      this.deadlineAt = undefined
      return
    }
    const { signal } = options
    const now = clock.now()
    this.metadata = metadataEntries(options.metadata)
    this.deadlineAt = deadlineAfter(now, options.timeoutMs)
    this.#signal = signal
    const leftMs = this.deadlineAt === undefined ? undefined : this.deadlineAt - now
    if (signal?.aborted === true) this.fail(abortError(signal))
    else if (leftMs !== undefined && leftMs < 1) this.fail(deadlineError())
    else {
      if (leftMs !== undefined) this.#timer = clock.timer(leftMs, () => { this.#giveUp(deadlineError()) })
      signal?.addEventListener('abort', this.#onAbort, { once: true })
    }
  }

  get isSettled (): boolean { return this.#isSettled }
  /** Whether it says anything that a session shared with other calls cannot say on a 1.0 connection. */
  get isPlain (): boolean { return this.deadlineAt === undefined && this.metadata.length === 0 }

  /** The answer's message: its content, or the failure it tells. */
  answer (message: Payload, settings: DecompressSettings): void {
    if (this.#isSettled) return
    if (message.errCode !== 0) {
      return this.fail(new RpcError(categoryFromCode(message.errCode), message.error, { metadata: Metadata.fromEntries(message.metadata) }))
    }
    if (message.compression === 0) return this.#succeed(message.payload, message)
    this.#decompress(message, settings).catch((error: unknown) => { this.fail(RpcError.from(error)) })
  }

  fail (error: RpcError): void {
    if (this.#isSettled) return
    this.#end()
    this.#outcome.reject(error)
  }

  async #decompress (message: Payload, settings: DecompressSettings): Promise<void> {
    this.#succeed(await decompressPayload(message, settings), message)
  }

  #succeed (payload: Uint8Array, message: Payload): void {
    if (this.#isSettled) return
    this.#end()
    this.#outcome.resolve(payload, message)
  }

  #giveUp (reason: RpcError): void {
    if (this.#isSettled) return
    this.onGiveUp?.(reason)
    this.fail(reason)
  }

  readonly #onAbort = (): void => { this.#giveUp(abortError(this.#signal)) }

  #end (): void {
    this.#isSettled = true
    this.#timer?.stop()
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.onGiveUp = undefined
    this.#outcome.ended()
  }
}
