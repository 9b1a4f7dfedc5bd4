/**
 * One stream on the server, from its Open to the Close that tells how its handler ended: the halves, the
 * handler inside the interceptors, the deadline. Protocol 1.0, 5.3; 1.1, section 5.
 */
import type { Timer } from '../../types/clock.js'
import type { StreamServerCall } from '../../types/interceptor.js'
import type { MessageOptions, StreamIO } from '../../types/stream.js'
import { compose } from '../call/interceptor.js'
import { ReceiveHalf } from '../call/receive-half.js'
import { sendWithMetadata } from '../call/send.js'
import { deadlineExceeded } from '../connection/faults.js'
import type { Session, SessionSink } from '../connection/session.js'
import { Category, ErrorCode, ProtocolError, RpcError } from '../errors.js'
import { NO_METADATA } from '../metadata.js'
import { NO_BYTES, RpcType } from '../wire/message.js'
import type { Close, Payload } from '../wire/message.js'
import { CallContext } from './context.js'
import type { SessionContext } from './context.js'
import { deadlineIn } from './deadline.js'
import { canceled, checkAnswer, outcomeOf } from './outcome.js'
import type { Registration } from './registry.js'
import type { Run } from './run-pool.js'
import type { CallRecord, CallServices } from './services.js'
import { BiDirStream, RecvStream, SendStream } from './streams.js'

/** What `send` answers when the message was written at once; shared, because it never changes. */
const SENT = Promise.resolve()

export interface StreamCallInit {
  readonly context: SessionContext
  readonly registration: Registration
  readonly services: CallServices
  /** DeadlineMS of the Open. */
  readonly deadlineMS: bigint
  readonly isMinor1: boolean
}

export class StreamCall implements SessionSink, Run, CallRecord {
  place: Run['place'] = 'none'
  readonly context: CallContext
  readonly startedAt: number
  receivedMessages = 0
  receivedBytes = 0
  sentMessages = 0
  sentBytes = 0
  #session!: Session
  #receive!: ReceiveHalf
  /** Whether the outcome was told or nobody is left to tell. */
  #isSettled = false
  #isStarted = false
  /** Whether the handler is done, so that nothing runs any more. */
  #isReturned = false
  #hasEnded = false
  #error: RpcError | undefined
  #deadlineTimer: Timer | undefined
  readonly #init: StreamCallInit

  constructor (init: StreamCallInit) {
    this.#init = init
    const { services } = init
    this.startedAt = services.clock.now()
    const ms = deadlineIn(init.deadlineMS, services.maxDeadlineMs)
    this.context = new CallContext(init.context, 0, NO_METADATA, ms === undefined ? undefined : Date.now() + ms)
    if (ms !== undefined) this.#deadlineTimer = services.clock.timer(ms, () => { this.end(deadlineExceeded()) })
  }

  /** Begins, once the session exists and the peer knows its number. */
  begin (session: Session): void {
    const { services, registration, isMinor1 } = this.#init
    this.#session = session
    session.isRunning = false
    this.#receive = new ReceiveHalf((cost) => { session.taken(cost) }, services.decompress, (error) => { this.end(error) }, services.clock)
    services.observer.callStarted(this)
    // A 1.0 client sends no request with a Recv.
    if (registration.type === RpcType.Recv && !isMinor1) {
      this.#hasEnded = true
      session.endReceiving()
      this.#receive.end()
    }
    if (services.pool.enter(this)) return
    this.end(new RpcError(Category.ResourceExhausted, 'too many RPCs are waiting', { code: ErrorCode.TOO_MANY_QUEUED }))
  }

  /** Its turn in the pool: runs the handler. */
  start (): void {
    this.#isStarted = true
    this.#session.run()
    this.#run().then(
      (answer) => { this.#returned(answer) },
      (thrown: unknown) => { this.#threw(thrown) }
    )
  }

  onMessage (message: Payload, cost: number): void {
    if (message.errCode !== 0) throw new ProtocolError('ErrCode on a stream', { scope: 'session', category: Category.InvalidArgument })
    this.receivedMessages++
    this.receivedBytes += message.payload.byteLength
    if (this.#init.registration.type === RpcType.Recv && this.receivedMessages > 1) {
      throw new ProtocolError('a Recv session takes one request', { scope: 'session', category: Category.InvalidArgument })
    }
    this.#receive.push(message, cost)
  }

  onEnd (): void {
    this.#hasEnded = true
    this.#receive.end()
  }

  onCancel (): void { this.end(canceled('canceled by the client')) }

  onPeerClose (close: Close): void {
    const { registration, isMinor1 } = this.#init
    // A Go client closes a client stream right after its end: that is a good end, the handler goes on.
    if (!isMinor1 && registration.type === RpcType.Send && this.#hasEnded) return
    const reason = canceled('closed by the client')
    if (close.errCode === 0 && !isMinor1) this.end(reason, true)
    else this.end(reason)
  }

  onFail (error: RpcError): void { this.#abort(error) }

  onBadMessage (_reqID: number, error: RpcError): void { this.end(error) }

  /**
   * Ends it at once from the server's side: the peer is told, what was queued is dropped, the handler's
   * signal aborts. @param quietly with code 0, to a 1.0 client that closed by itself.
   */
  end (reason: RpcError, quietly = false): void {
    if (!this.#session.isClosed) this.#session.close(quietly ? undefined : reason, this.context.trailerEntries ?? NO_METADATA)
    this.#abort(reason)
  }

  /** Forced shutdown. */
  forceEnd (reason: RpcError): void { this.end(reason) }

  #abort (reason: RpcError): void {
    this.#error ??= reason
    this.#receive.end(reason)
    this.#settle(reason, undefined)
    this.context.abort(reason)
    if (!this.#isStarted || this.#isReturned) this.#leave()
  }

  async #run (): Promise<Uint8Array | void> {
    const { services, registration } = this.#init
    const interceptors = [...services.streamInterceptors, ...(registration.interceptors?.stream() ?? [])]
    const innermost = (call: StreamServerCall): Promise<Uint8Array | void> => this.#handle(call)
    const run = interceptors.length === 0 ? innermost : compose(interceptors, innermost)
    return await run({ context: this.context, stream: this.#stream() })
  }

  #stream (): BiDirStream | SendStream | RecvStream {
    const io: StreamIO = new HandlerIO(this.#receive, (bytes, options) => this.#send(bytes, options), () => this.#error)
    switch (this.#init.registration.type) {
      case RpcType.Recv: return new SendStream(this.context, io)
      case RpcType.Send: return new RecvStream(this.context, io)
      default: return new BiDirStream(this.context, io)
    }
  }

  async #handle (call: StreamServerCall): Promise<Uint8Array | void> {
    const { handler } = this.#init.registration
    switch (handler.type) {
      case RpcType.BiDirectional: return await handler.handle(call.context, call.stream as BiDirStream)
      case RpcType.Recv: return await handler.handle(call.context, call.stream as SendStream)
      case RpcType.Send: return await handler.handle(call.context, call.stream as RecvStream)
      case RpcType.Synchronous: throw new TypeError('a synchronous handler cannot serve a stream')
    }
  }

  #send (bytes: Uint8Array, options: MessageOptions | undefined): Promise<void> {
    this.sentMessages++
    this.sentBytes += bytes.byteLength
    if (options?.metadata !== undefined) return sendWithMetadata(this.#session, bytes, options.metadata) ?? SENT
    return this.#session.trySend(0, bytes) ? SENT : this.#session.send(bytes) ?? SENT
  }

  #returned (answer: Uint8Array | void): void {
    const { registration, isMinor1 } = this.#init
    if (this.#isSettled) return this.#leave()
    try {
      if (registration.type === RpcType.Send && answer !== undefined) {
        const sending = this.#session.send(checkAnswer(answer), { force: true })
        this.sentMessages++
        this.sentBytes += answer.byteLength
        if (sending !== undefined) {
          sending.then(() => { this.#closeAfterAll(undefined, undefined) }, (error: unknown) => { this.#threw(error) })
          return
        }
      } else if (registration.type !== RpcType.Send && !isMinor1) {
        // A Go client ends its iteration at EndStream; a 1.1 client at Close.
        this.#session.end()
      }
    } catch (error) {
      return this.#threw(error)
    }
    this.#closeAfterAll(undefined, undefined)
  }

  #threw (thrown: unknown): void {
    if (this.#isSettled) return this.#leave()
    const { error, foreign } = outcomeOf(thrown, this.context)
    if (error.metadata.size > 0) this.context.setTrailer(error.metadata)
    this.#closeAfterAll(error, foreign)
  }

  /** The handler is done: its outcome follows everything it sent. */
  #closeAfterAll (error: RpcError | undefined, foreign: unknown): void {
    this.#isReturned = true
    // Input that nobody will read must not hold the peer up until then.
    this.#receive.discard()
    this.#session.ignoreInput()
    const trailers = this.context.trailerEntries ?? NO_METADATA
    const outcome = error ?? this.#session.outbox.metadataRefusal(trailers)
    this.#error ??= outcome
    this.#session.closeAfterAll(outcome, trailers, () => {
      this.#settle(outcome, foreign)
      this.#leave()
    })
  }

  #settle (error: RpcError | undefined, foreign: unknown): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#deadlineTimer?.stop()
    this.#init.services.observer.callEnded(this, error, foreign)
  }

  #leave (): void { this.#init.services.pool.leave(this) }
}

/** The two halves as the stream of a handler sees them. */
class HandlerIO implements StreamIO {
  readonly #receive: ReceiveHalf
  readonly #sendMessage: (bytes: Uint8Array, options: MessageOptions | undefined) => Promise<void>
  readonly #getError: () => RpcError | undefined

  constructor (receive: ReceiveHalf, send: (bytes: Uint8Array, options: MessageOptions | undefined) => Promise<void>, getError: () => RpcError | undefined) {
    this.#receive = receive
    this.#sendMessage = send
    this.#getError = getError
  }

  get err (): RpcError | undefined { return this.#getError() }
  send (bytes: Uint8Array, options?: MessageOptions): Promise<void> { return this.#sendMessage(bytes, options) }
  recv (): AsyncIterableIterator<Uint8Array> { return this.#receive.recv() }
  messages (): ReturnType<ReceiveHalf['messages']> { return this.#receive.messages() }

  async request (): Promise<Uint8Array> {
    const { value } = await this.#receive.recv().next() as IteratorResult<Uint8Array, undefined>
    return value ?? NO_BYTES
  }
}
