/**
 * One stream of a caller, from the wish to open it to its outcome: what is sent before the server has
 * answered waits in order, what arrives goes to the receiving half, the Close brings outcome and
 * trailers. Protocol 1.0, 5.3; 1.1, sections 2 and 5.
 */
import type { Clock, Timer } from '../../types/clock.js'
import type { CallOptions, ClientStreamIO } from '../../types/client-options.js'
import { ReceiveHalf } from '../call/receive-half.js'
import { sendWithMetadata } from '../call/send.js'
import type { DecompressSettings } from '../call/decompress.js'
import type { MessageOptions, ReceivedMessage } from '../../types/stream.js'
import { deadlineExceeded, rejected, sendAfterEnd, tooLarge } from '../connection/faults.js'
import { weightOf } from '../connection/outgoing.js'
import type { Session, SessionSink } from '../connection/session.js'
import { Category, ErrorCode, ProtocolError, RpcError, categoryFromCode } from '../errors.js'
import { Metadata, NO_METADATA, metadataEntries } from '../metadata.js'
import type { MetadataEntry } from '../metadata.js'
import { Descr, NO_BYTES, Payload, RpcType } from '../wire/message.js'
import type { Close } from '../wire/message.js'
import { abortError, sessionClosed } from './call-errors.js'
import { misuse } from './misuse.js'
import { fitsOpen } from './open.js'
import type { OpenRole, Opener } from './open.js'
import { deadlineAfter, deadlineMS } from './timeout.js'

/** What streams need of their client. */
export interface StreamHost {
  readonly clock: Clock
  readonly role: OpenRole
  readonly settings: DecompressSettings & { readonly sendBufferBytes: number, readonly maxSendMsgSize: number }
  /** Whether the server is known to speak 1.1. */
  readonly isMinor1: () => boolean
  /** A call has begun or is over. */
  readonly onStarted: () => void
  readonly onEnded: () => void
}

/** What a caller's stream stands on. */
export interface CallerIO extends ClientStreamIO {
  /** Says that no more will be sent. */
  endSending (): void
}

interface EarlyMessage {
  readonly bytes: Uint8Array
  readonly metadata: readonly MetadataEntry[]
  readonly endStream: boolean
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const SENT = Promise.resolve()
const noop = (): void => {}

export class StreamCall implements SessionSink, Opener, CallerIO {
  /** What the caller's stream stands on: the call itself, unless interceptors stand between. */
  io: CallerIO = this
  /** Told once, when it is over. */
  onOver: (error: RpcError | undefined) => void = noop
  /** Metadata of the OpenAck, once the server has accepted. */
  headers = new Metadata()
  /** Metadata of the Close, once the stream is over. */
  trailer = new Metadata()
  /** Resolves when the stream is over, with its error if it failed. Never rejects. */
  readonly ended: Promise<RpcError | undefined>
  #session: Session | undefined
  /** What was sent before the session existed. */
  #early: EarlyMessage[] = []
  #earlyBytes = 0
  #isStarted = false
  #isSendEnded = false
  #isOver = false
  #error: RpcError | undefined
  #isOpening = false
  /** Whether it only waits for its request to be opened. */
  #isOpenDue = false
  #giveUpOpen: () => void = noop
  #resolveEnded: (error: RpcError | undefined) => void = noop
  #timer: Timer | undefined
  readonly #host: StreamHost
  readonly #type: RpcType
  readonly #receive: ReceiveHalf
  readonly #descr = new Descr()
  #metadata = NO_METADATA
  #signal: AbortSignal | undefined
  #deadlineAt: number | undefined

  constructor (host: StreamHost, type: RpcType) {
    this.#host = host
    this.#type = type
    this.#receive = new ReceiveHalf((cost) => { this.#session?.taken(cost) }, host.settings, (error) => { this.cancel(error) }, host.clock)
    this.ended = new Promise((resolve) => { this.#resolveEnded = resolve })
    host.onStarted()
  }

  /** Whether it is being opened, or was, or never will be. */
  get isStarted (): boolean { return this.#isStarted || this.#isOver }

  /**
   * Opens it; once. Until then what is sent waits.
   * @throws TypeError CLAW_ERR_ARGUMENT_INVALID
   */
  start (names: { package: string, service: string, call: string }, { signal, timeoutMs, metadata }: CallOptions): void {
    if (this.isStarted) return
    const { clock } = this.#host
    const now = clock.now()
    this.#isStarted = true
    try {
      this.#metadata = metadataEntries(metadata)
      this.#deadlineAt = deadlineAfter(now, timeoutMs)
    } catch (error) {
      this.#over(RpcError.from(error))
      throw error
    }
    this.#descr.package = names.package
    this.#descr.service = names.service
    this.#descr.call = names.call
    this.#descr.type = this.#type
    this.#signal = signal
    const leftMs = this.#deadlineAt === undefined ? undefined : this.#deadlineAt - now
    if (signal?.aborted === true) return this.#over(abortError(signal))
    if (leftMs !== undefined && leftMs < 1) return this.#over(deadlineExceeded())
    if (leftMs !== undefined) this.#timer = clock.timer(leftMs, () => { this.cancel(deadlineExceeded()) })
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    // The Open waits until the end of the caller's own step, so that a first message can travel in it.
    queueMicrotask(() => { this.#open() })
  }

  get error (): RpcError | undefined { return this.#error }
  get isOver (): boolean { return this.#isOver }

  /** Sends one message, or puts it in line while the session is being opened. */
  send (bytes: Uint8Array, options?: MessageOptions): Promise<void> {
    if (this.#error !== undefined || this.#isOver) return rejected(this.#error ?? sessionClosed())
    if (this.#isSendEnded) return rejected(sendAfterEnd())
    if (this.#session === undefined) return this.#sendEarly(bytes, options, false)
    if (options?.metadata !== undefined) return sendWithMetadata(this.#session, bytes, options.metadata) ?? SENT
    return this.#session.trySend(0, bytes) ? SENT : this.#session.send(bytes) ?? SENT
  }

  /** Sends the one message of a Recv call, if there is one, and ends its half. A call whose request cannot be sent is no call. */
  sendRequest (bytes: Uint8Array | undefined): void {
    if (bytes !== undefined) {
      const refusal = this.refusal(bytes)
      // At once, or the handler would run without it.
      if (refusal !== undefined) return this.cancel(RpcError.from(refusal))
      this.io.send(bytes).catch((error: unknown) => { this.cancel(RpcError.from(error)) })
    }
    this.io.endSending()
  }

  /** Why a message cannot be put in line behind so many others. */
  refusal (bytes: Uint8Array, count = this.#early.length, waitingBytes = this.#earlyBytes): Error | undefined {
    const { maxSendMsgSize, sendBufferBytes } = this.#host.settings
    if (!(bytes instanceof Uint8Array)) return misuse(ErrorCode.ARGUMENT_INVALID, 'a message must be a Uint8Array')
    if (bytes.byteLength > maxSendMsgSize) return tooLarge(bytes.byteLength, `maxSendMsgSize of ${maxSendMsgSize}`)
    if (count > 0 && waitingBytes + weightOf(bytes) > sendBufferBytes) {
      return new RpcError(Category.ResourceExhausted, 'too many bytes are waiting to be sent: await each send', { code: ErrorCode.SEND_QUEUE_FULL })
    }
    return undefined
  }

  endSending (): void {
    if (this.#isSendEnded || this.#isOver) return
    if (this.#session === undefined) this.#sendEarly(NO_BYTES, undefined, true).catch(noop)
    else this.#session.end()
    this.#isSendEnded = true
    if (this.#isOpenDue) this.#open()
  }

  recv (): AsyncIterableIterator<Uint8Array> { return this.#receive.recv(() => { this.left() }) }
  messages (): AsyncIterableIterator<ReceivedMessage> { return this.#receive.messages(() => { this.left() }) }

  /** Its reader has left the loop: that ends a server stream, for nobody else will read. */
  left (): void {
    if (this.#type === RpcType.Recv) this.cancel(new RpcError(Category.Canceled, 'canceled by the caller'))
  }

  /** Ends the call from this side: the server's handler is told by its signal. */
  cancel (reason: RpcError): void {
    if (this.#isOver) return
    this.#giveUpOpen()
    this.#session?.cancel(0, reason)
    this.#over(reason)
  }

  // --- Opener

  onOpened (create: (sink: SessionSink) => Session, headers: Metadata, firstTaken: boolean): void {
    const session = this.#session = create(this)
    this.headers = headers
    const early = this.#early
    this.#early = []
    this.#earlyBytes = 0
    for (const [at, message] of early.entries()) {
      if (at === 0 && firstTaken) {
        message.resolve()
        if (message.endStream) session.endedByFirst()
        continue
      }
      this.#sendQueued(session, message)
    }
    // A 1.0 server expects nothing of the client on a Recv session.
    if (this.#type === RpcType.Recv) this.#isSendEnded = true
  }

  onRefused (error: RpcError): void { this.#over(error) }

  // --- SessionSink

  onMessage (message: Payload, cost: number): void {
    if (message.errCode !== 0 && this.#host.isMinor1()) throw new ProtocolError('ErrCode on a stream', { scope: 'session', category: Category.InvalidArgument })
    this.#receive.push(message, cost)
  }

  /** A server's EndStream is optional: the outcome comes with the Close. */
  onEnd (): void {}

  onCancel (): void { this.cancel(new RpcError(Category.Canceled, 'canceled by the server')) }

  onPeerClose (close: Close): void {
    const session = this.#session
    this.trailer = Metadata.fromEntries(close.metadata)
    let error: RpcError | undefined
    if (close.errCode !== 0) error = new RpcError(categoryFromCode(close.errCode), close.error, { metadata: this.trailer })
    else if (session?.assembly !== undefined) error = new RpcError(Category.DataLoss, 'the stream ended inside a message', { code: ErrorCode.INCOMPLETE })
    session?.finish(error ?? sessionClosed())
    this.#over(error)
  }

  onFail (error: RpcError): void { this.#over(error) }
  onBadMessage (_reqID: number, error: RpcError): void { this.cancel(error) }

  // ---

  readonly #onAbort = (): void => { this.cancel(abortError(this.#signal)) }

  #open (): void {
    if (this.#isOver) return
    const { role, clock } = this.#host
    if (role.refusal !== undefined) return this.#over(role.refusal)
    // The request of a Recv call travels with it: a wrapper may still have that in hand.
    this.#isOpenDue = this.#type === RpcType.Recv && !this.#isSendEnded
    if (this.#isOpenDue) return
    this.#isOpening = true
    this.#giveUpOpen = role.open({
      descr: this.#descr,
      deadlineMS: deadlineMS(this.#deadlineAt, clock.now()),
      metadata: this.#metadata,
      first: this.#first()
    }, this)
  }

  /** The first message, where it may travel inside the Open. */
  #first (): Payload | undefined {
    const message = this.#early[0]
    if (message === undefined) return undefined
    const first = new Payload()
    first.payload = message.bytes
    first.endStream = message.endStream
    first.metadata = message.metadata
    return fitsOpen(first) ? first : undefined
  }

  #sendEarly (bytes: Uint8Array, options: MessageOptions | undefined, endStream: boolean): Promise<void> {
    const refusal = this.refusal(bytes)
    if (refusal !== undefined) return rejected(refusal)
    this.#earlyBytes += weightOf(bytes)
    const promise = new Promise<void>((resolve, reject) => {
      const last = this.#early.at(-1)
      // The end mark joins the message before it, unless that one is in an Open that was sent already, or is
      // empty: together with the mark an empty message is no message.
      if (endStream && last !== undefined && last.bytes.byteLength > 0 && (this.#early.length > 1 || !this.#isOpening)) this.#early[this.#early.length - 1] = { ...last, endStream }
      else {
        this.#early.push({ bytes, metadata: metadataEntries(options?.metadata), endStream, resolve, reject })
        // A Recv call sends one message, its request.
        if (this.#type === RpcType.Recv && !endStream) this.endSending()
        return
      }
      resolve()
    })
    promise.catch(noop)
    return promise
  }

  #sendQueued (session: Session, message: EarlyMessage): void {
    const isMark = message.endStream && message.bytes.byteLength === 0
    if (isMark) {
      // A 1.0 Recv session takes no input at all.
      if (this.#type !== RpcType.Recv || this.#host.isMinor1()) session.end()
      return message.resolve()
    }
    if (this.#type === RpcType.Recv && !this.#host.isMinor1()) return message.resolve()
    const { metadata } = message
    const refusal = session.outbox.refusal(message.bytes, metadata)
    if (refusal !== undefined) {
      // The server's limits were not known before. The stream goes on without it, and its end still comes.
      if (message.endStream) session.end()
      return message.reject(refusal)
    }
    const sending = message.endStream ? session.sendLast(message.bytes, { metadata }) : session.send(message.bytes, { metadata })
    if (sending === undefined) message.resolve()
    else sending.then(message.resolve, message.reject)
  }

  #over (error: RpcError | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#error = error
    this.#timer?.stop()
    this.#signal?.removeEventListener('abort', this.#onAbort)
    const early = this.#early
    this.#early = []
    for (const message of early) message.reject(error ?? sessionClosed())
    this.#receive.end(error)
    this.onOver(error)
    this.#resolveEnded(error)
    this.#host.onEnded()
  }
}
