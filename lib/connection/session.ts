/**
 * One RPC on a connection, the same for both roles: its state, the credit of both directions, the outbox
 * and the message that is being put together. It does not know Connection (it declares the owner it
 * needs), handlers or callers (it tells a sink). Protocol 1.0 section 5, 1.1 sections 3 to 6.
 *
 *   connection --handlePayload/Cancel/Close/WindowUpdate--> Session --onMessage/onEnd/...--> sink
 *   sink --send/end/close/taken--> Session --> outbox, owner --> connection
 */
import { Category, ErrorCode, ProtocolError, RpcError } from '../errors.js'
import type { MetadataEntry } from '../metadata.js'
import { NO_METADATA } from '../metadata.js'
import { Cancel, Close, NO_BYTES, RpcType, WindowUpdate } from '../wire/message.js'
import type { Payload } from '../wire/message.js'
import type { SendableMessage } from '../wire/encode.js'
import type { Assembly } from './assembly.js'
import { SESSION_CLOSED, messageTooLarge, metadataTooLarge, rejected, sendAfterEnd } from './faults.js'
import { ReceiveCredit, SendCredit, effectiveWindow, frameCost } from './flow-control.js'
import type { GrowthBudget } from './flow-control.js'
import { MAX_MESSAGE_METADATA_BYTES, encodedMetadataBytes } from './limits.js'
import { Outbox, errorText } from './outbox.js'
import type { OutboxOwner, SendOptions } from './outbox.js'
import { PLACED, Reassembly } from './reassembly.js'
import { SessionState, canReceive, canSend, nextSessionState } from './session-state.js'

/** What a session needs of the connection. */
export interface SessionOwner extends OutboxOwner {
  /** What the windows of the sessions may grow by. */
  readonly growth: GrowthBudget
  /** Clock milliseconds when bytes last arrived. */
  readonly lastReceivedAt: number
  /** Sends a message that never waits behind payloads. */
  sendControl (message: SendableMessage): void
  /** The session is over: forget it. */
  release (session: Session): void
  /** Toward a 1.0 peer: this many more (or fewer) bytes are held unread for the session. */
  hold (session: Session, bytes: number): void
  /** Asks for one of the places for messages larger than the window; `placeGranted` is called when there is one. */
  requestPlace (session: Session): void
  /** Gives the place back, or the wish for one up. */
  releasePlace (session: Session): void
  /** A session runs that did not: places that were kept from others may be free for them. */
  grantPlaces (): void
}

/** Who is told what happens to a session: a handler's call or a caller's. Must not throw. */
export interface SessionSink {
  /** A whole message arrived. Its cost must be given to `session.taken` when the application takes it. */
  onMessage (message: Payload, cost: number): void
  /** The peer said its last message (streams). */
  onEnd (): void
  /** The peer cancels one request, or the whole session with 0. */
  onCancel (reqID: number): void
  /** The peer closed the session; it is over on this side too unless the sink keeps it. */
  onPeerClose (close: Close): void
  /** The session is over because of a fault of the peer, the loss of the connection or a forced end. */
  onFail (error: RpcError): void
  /** A message of the peer was too large, came too late or never wholly; the rest of the session lives on (synchronous). */
  onBadMessage (reqID: number, error: RpcError): void
}

/** What is fixed when a session opens. */
export interface SessionInit {
  readonly id: number
  readonly type: number
  /** The peer's announced window; 0 when absent. */
  readonly peerWindow: number
  /** The peer's MaxPayloadSize; 0 when unknown. */
  readonly peerMaxBytes: number
}

export class Session {
  readonly id: number
  readonly type: number
  readonly outbox: Outbox
  sink: SessionSink
  /** Messages and bytes (as on the wire) the peer sent. */
  receivedMessages = 0
  receivedBytes = 0
  /** Bytes held unread for a 1.0 peer. */
  heldBytes = 0
  /** Whether somebody takes the messages now; a server's sessions wait for their turn to run. */
  isRunning = true
  /** Whether nobody will take any more of the peer's messages. */
  #isUnread = false
  /** Made when the first chunk comes: most sessions never see one. */
  #reassembly: Reassembly | undefined
  #state: SessionState = SessionState.Open
  readonly #owner: SessionOwner
  readonly #credit: ReceiveCredit

  constructor (owner: SessionOwner, sink: SessionSink, init: SessionInit) {
    this.#owner = owner
    this.sink = sink
    this.id = init.id
    this.type = init.type
    const isMinor1 = owner.isMinor1
    this.outbox = new Outbox(owner, init.id, new SendCredit(isMinor1 ? effectiveWindow(init.peerWindow) : Infinity), init.peerMaxBytes)
    this.#credit = isMinor1 ? new ReceiveCredit(effectiveWindow(owner.settings.windowBytes), owner.growth, owner.clock) : new ReceiveCredit(Infinity)
  }

  get state (): SessionState { return this.#state }
  get isClosed (): boolean { return this.#state === SessionState.Closed }
  /** The message that is being put together, for the watch on slow senders. */
  get assembly (): Assembly | undefined { return this.#reassembly?.assembly }
  /** Credit the peer has left. */
  get peerCredit (): number { return this.#credit.outstanding }
  /** When what is being handled arrived, clock milliseconds: one look at the clock for all that came together. */
  get receivedAt (): number { return this.#owner.lastReceivedAt }
  /** Whether one request at a time is answered by one answer each. */
  get isSynchronous (): boolean { return this.type === RpcType.Synchronous }

  // --- outbound

  /** Writes one message at once, if nothing stands in its way; see Outbox.trySend. */
  trySend (reqID: number, bytes: Uint8Array): boolean { return canSend(this.#state) && this.outbox.trySend(reqID, bytes) }

  /** Sends one message; see Outbox.send. */
  send (bytes: Uint8Array, options?: SendOptions): Promise<void> | undefined {
    if (!canSend(this.#state) && this.#state !== SessionState.Closed) return rejected(sendAfterEnd())
    return this.outbox.send(bytes, options)
  }

  /** Ends this side's half with an empty payload, after everything sent before. */
  end (): void {
    if (!canSend(this.#state)) return
    const ending = this.outbox.send(NO_BYTES, END_STREAM)
    this.outbox.sentMessages--
    this.#state = nextSessionState(this.#state, 'sendEnd')
    // Its failure is the session's failure, which the sink is told.
    ending?.catch(() => {})
  }

  /** The end of this side's half has travelled inside the Open. */
  endedByFirst (): void { this.#state = nextSessionState(this.#state, 'sendEnd') }

  /** Sends the last message and ends this side's half with it. */
  sendLast (bytes: Uint8Array, options: SendOptions = {}): Promise<void> | undefined {
    const sending = this.send(bytes, { ...options, endStream: true })
    this.#state = nextSessionState(this.#state, 'sendEnd')
    return sending
  }

  /** Tells the peer how it ended, after all messages accepted before, and forgets the session. */
  closeAfterAll (error: RpcError | undefined, trailers: readonly MetadataEntry[], closed?: () => void): void {
    if (this.isClosed) return closed?.()
    this.outbox.afterAll(() => {
      this.close(error, trailers)
      closed?.()
    })
  }

  /** Tells the peer at once; what waits to be sent is dropped. The sink is not told. */
  close (error: RpcError | undefined, trailers: readonly MetadataEntry[] = NO_METADATA, reason = error ?? SESSION_CLOSED): void {
    if (this.isClosed) return
    const close = new Close()
    close.sessionID = this.id
    if (error !== undefined) {
      close.errCode = error.category
      close.error = errorText(error)
    }
    // A Close must arrive: trailers that would break the peer's limit on frames are left out.
    if (this.outbox.metadataRefusal(trailers) === undefined) close.metadata = trailers
    this.#finish(reason)
    this.#owner.sendControl(close)
  }

  /** Tells the peer to stop: one request, or with 0 the session, which then is over on this side. */
  cancel (reqID: number, reason: RpcError): void {
    if (this.isClosed) return
    const cancel = new Cancel()
    cancel.sessionID = this.id
    cancel.reqID = reqID
    if (reqID === 0) this.#finish(reason)
    this.#owner.sendControl(cancel)
  }

  /** The application took what had this cost: the peer may send as much again. */
  taken (cost: number): void {
    // What it held of the connection was given back when it ended.
    if (this.isClosed) return
    if (!this.#owner.isMinor1) {
      this.heldBytes -= cost
      this.#owner.hold(this, -cost)
    } else if (cost === PLACED) {
      this.#reassembly?.placeTaken()
    } else this.#returnCredit(cost)
  }

  // --- inbound, called by the connection

  /** A Payload frame of this many (unpacked) bytes arrived. Throws ProtocolError when it breaks the rules. */
  handlePayload (payload: Payload, frameBytes: number): void {
    this.receivedBytes += payload.payload.byteLength
    if (!this.#owner.isMinor1) return this.#handlePayload10(payload, frameBytes)
    const isFree = payload.payload.byteLength === 0 && (this.isSynchronous ? payload.errCode !== 0 : payload.endStream && payload.metadata.length === 0)
    const cost = isFree ? 0 : frameCost(frameBytes)
    if (!canReceive(this.#state)) throw new ProtocolError('payload after the end of the stream', { scope: 'session' })
    if (!this.#credit.charge(cost)) {
      throw new ProtocolError('flow control window exceeded', { scope: 'session', category: Category.ResourceExhausted, code: ErrorCode.FLOW_CONTROL })
    }
    if (payload.more || this.assembly !== undefined) this.#reassemble().handle(payload, cost)
    else this.#deliver(payload, cost)
  }

  /** A First inside an Open: neither charged nor credited. */
  handleFirst (payload: Payload): void {
    this.receivedBytes += payload.payload.byteLength
    this.#deliver(payload, 0)
  }

  handleWindowUpdate (bytes: number): void {
    if (!this.outbox.grant(bytes)) {
      throw new ProtocolError('more credit than the protocol allows', { scope: 'session', category: Category.ResourceExhausted, code: ErrorCode.FLOW_CONTROL })
    }
  }

  handleCancel (reqID: number): void {
    const isUnanswered = this.#reassembly?.cancel(reqID) === true
    // A request of which only a part has come gets its one answer like any other.
    if (reqID !== 0 && this.isSynchronous && isUnanswered) return this.sink.onBadMessage(reqID, new RpcError(Category.Canceled, 'canceled by the client'))
    this.sink.onCancel(reqID)
  }

  handleClose (close: Close): void { this.sink.onPeerClose(close) }

  /** The peer broke a rule of this session: it is told, the sink is told, the connection lives on. */
  fault (error: ProtocolError): void {
    if (this.isClosed) return
    const reason = new RpcError(error.category, error.message, { code: error.code })
    this.close(reason)
    this.sink.onFail(reason)
  }

  /** The session is over without a word to the peer: the connection is lost, or the peer closed it. */
  fail (error: RpcError): void {
    if (this.isClosed) return
    this.#finish(error)
    this.sink.onFail(error)
  }

  /** The peer closed it: nothing is said any more. The sink knows. */
  finish (reason: RpcError = SESSION_CLOSED): void {
    this.#finish(reason)
  }

  /** Payloads of the peer are not expected (any more): they are thrown away. */
  endReceiving (): void { this.#state = nextSessionState(this.#state, 'recvEnd') }

  /** Its turn to run has come: its messages are taken from now on. */
  run (): void {
    this.isRunning = true
    this.#owner.grantPlaces()
  }

  /** Nobody will take any more of the peer's messages: what of an unfinished one is stored, and what comes, is thrown away. */
  ignoreInput (): void {
    this.#isUnread = true
    this.#reassembly?.ignore()
  }

  /** The connection has a place for the unfinished message now. */
  placeGranted (): void { this.#reassemble().placeGranted() }

  #handlePayload10 (payload: Payload, frameBytes: number): void {
    // What no handler will take is thrown away and not counted.
    if (!canReceive(this.#state)) return
    const cost = frameCost(frameBytes)
    this.heldBytes += cost
    this.#owner.hold(this, cost)
    this.#deliver(payload, cost)
  }

  #reassemble (): Reassembly {
    const owner = this.#owner
    this.#reassembly ??= new Reassembly({
      clock: owner.clock,
      maxRecvMsgSize: owner.settings.maxRecvMsgSize,
      isSynchronous: this.isSynchronous,
      returnCredit: (cost) => { this.#returnCredit(cost) },
      deliver: (payload, cost) => { this.#deliver(payload, cost) },
      refuse: (reqID, error) => { this.#badMessage(reqID, error) },
      requestPlace: () => { owner.requestPlace(this) },
      releasePlace: () => { owner.releasePlace(this) }
    }, this.#isUnread)
    return this.#reassembly
  }

  #deliver (payload: Payload, cost: number): void {
    // A 1.0 peer compresses what grows by it too: the limit is meant for what comes out, the frame's holds for what comes in.
    const { isMinor1, settings } = this.#owner
    const grows = !isMinor1 && payload.compression !== 0
    if (payload.payload.byteLength > settings.maxRecvMsgSize && !grows) {
      this.taken(cost)
      return this.#badMessage(payload.reqID, messageTooLarge(settings.maxRecvMsgSize))
    }
    if (payload.metadata.length > 0) {
      const maxBytes = isMinor1 ? Math.min(MAX_MESSAGE_METADATA_BYTES, settings.maxMetadataBytes) : settings.maxMetadataBytes
      if (encodedMetadataBytes(payload.metadata) > maxBytes) {
        this.taken(cost)
        return this.#badMessage(payload.reqID, metadataTooLarge(maxBytes))
      }
    }
    const ends = payload.endStream && !this.isSynchronous
    const isMark = ends && payload.payload.byteLength === 0
    if (!isMark) {
      this.receivedMessages++
      this.sink.onMessage(payload, cost)
    } else if (cost !== 0) this.taken(cost)
    if (ends && !this.isClosed) {
      this.#state = nextSessionState(this.#state, 'recvEnd')
      this.sink.onEnd()
    }
  }

  #badMessage (reqID: number, error: RpcError): void {
    if (this.isSynchronous && this.#owner.isMinor1) return this.sink.onBadMessage(reqID, error)
    this.close(error)
    this.sink.onFail(error)
  }

  #returnCredit (cost: number): void {
    const bytes = this.#credit.take(cost)
    if (bytes === 0 || this.isClosed) return
    // Until now the peer could not go on with its message.
    if (this.assembly !== undefined) this.assembly.lastChunkAt = this.#owner.clock.now()
    const update = new WindowUpdate()
    update.sessionID = this.id
    update.bytes = bytes
    this.#owner.sendControl(update)
  }

  #finish (reason: RpcError): void {
    if (this.isClosed) return
    this.#state = nextSessionState(this.#state, 'close')
    this.#reassembly?.close()
    if (this.heldBytes !== 0) this.#owner.hold(this, -this.heldBytes)
    this.heldBytes = 0
    this.#credit.release()
    this.outbox.close(reason)
    this.#owner.release(this)
  }
}

const END_STREAM: SendOptions = Object.freeze({ endStream: true, force: true })
