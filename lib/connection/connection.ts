/**
 * One transport and the sessions on it, the same for both roles: bytes in -> messages -> sessions, and
 * messages out -> bytes. What an Open, an OpenAck or a GoAway means is the Role's matter (server/accept,
 * client/open). It knows no WebSocket, no handler and no caller. Protocol 1.0 sections 1, 3 and 5; 1.1
 * sections 1 and 8.
 *
 *   open --close()/fail()/peer--> closing --transport ended--> closed
 */
import { Category, ErrorCode, ProtocolError, RpcError, connectionLost } from '../errors.js'
import { IdMap } from '../id-map.js'
import type { MetadataEntry } from '../metadata.js'
import { MessageReader } from '../wire/message-reader.js'
import { GoAway, MsgType, Pong } from '../wire/message.js'
import type { Cancel, Close, Message, Open, OpenAck, Payload, Ping, WindowUpdate } from '../wire/message.js'
import type { SendableMessage } from '../wire/encode.js'
import type { Clock, Timer } from '../../types/clock.js'
import { CloseCode } from '../../types/transport.js'
import type { Transport, TransportSink } from '../../types/transport.js'
import { Backlog } from './backlog.js'
import { Batch } from './batch.js'
import type { Outbox } from './outbox.js'
import { stalled } from './faults.js'
import { FloodGuard } from './flood-guard.js'
import { GrowthBudget, effectiveWindow } from './flow-control.js'
import { agreedMinor, maxFrameBytes } from './negotiation.js'
import { Places } from './places.js'
import { Session } from './session.js'
import type { SessionInit, SessionOwner, SessionSink } from './session.js'
import type { ConnectionSettings } from './settings.js'

/** Which messages only one role takes, and what it is told. Methods may throw ProtocolError. */
export interface Role {
  handleOpen (open: Open): void
  handleOpenAck (ack: OpenAck): void
  handleGoAway (goAway: GoAway): void
  /** What the sessions are told when the connection goes away under them, because of this. */
  lossOf (error: RpcError): RpcError
  /** A session is over and forgotten. */
  handleReleased (session: Session): void
  /** Something in this package or a sink threw: for the log. The connection is being ended. */
  handleFault (error: unknown): void
  /** The connection is over; every session was told. */
  handleClosed (error: RpcError | undefined): void
}

export const ConnectionState = { Open: 'open', Closing: 'closing', Closed: 'closed' } as const
export type ConnectionState = typeof ConnectionState[keyof typeof ConnectionState]

/** Replies the peer has not taken, beyond which it is given up. */
const MAX_UNSENT_REPLY_BYTES = 256 * 1024
/** How long a peer may take to agree that a connection is over. */
const CLOSE_GRACE_MS = 1000
/** As many fully grown windows as this may stand at a time on one connection. */
const GROWN_WINDOWS = 4

export class Connection implements SessionOwner, TransportSink {
  readonly settings: ConnectionSettings
  readonly clock: Clock
  readonly growth: GrowthBudget
  /** Clock milliseconds when bytes (or a transport's sign of life) last arrived. */
  lastReceivedAt: number
  /** Clock milliseconds when a session last began, ended or got a payload, or the start. */
  lastActiveAt: number
  receivedBytes = 0
  /** Whether the peer has pinged: it speaks the protocol, though it may have nothing to ask yet. */
  hasPinged = false
  /** Highest SessionID issued by this side (server) or seen in an OpenAck (client). */
  highestSessionID = 0
  #minor: 0 | 1 | undefined
  #state: ConnectionState = ConnectionState.Open
  #error: RpcError | undefined
  #graceTimer: Timer | undefined
  readonly #floodGuard: FloodGuard
  #owedPong: number | undefined
  readonly #role: Role
  readonly #transport: Transport
  readonly #reader: MessageReader
  readonly #batch: Batch
  /** Made for a 1.0 peer. */
  #backlog: Backlog | undefined
  /** Made when the first large message comes: most connections never see one. */
  #places: Places | undefined
  readonly #sessions = new IdMap<Session>()

  constructor (transport: Transport, role: Role, settings: ConnectionSettings, clock: Clock) {
    this.#transport = transport
    this.#role = role
    this.settings = settings
    this.clock = clock
    this.lastReceivedAt = this.lastActiveAt = clock.now()
    this.#floodGuard = new FloodGuard(this.lastActiveAt)
    this.#batch = new Batch(transport, clock)
    this.growth = new GrowthBudget(settings.maxWindowBytes, GROWN_WINDOWS * settings.maxWindowBytes)
    this.#reader = new MessageReader({
      maxFrameBytes: maxFrameBytes(undefined, settings),
      onMessage: (message, frameBytes) => { this.#handleMessage(message, frameBytes) }
    })
  }

  /** Begins to read. Separate from the constructor, because bytes may arrive during the call. */
  start (): void { this.#transport.start(this) }

  get state (): ConnectionState { return this.#state }
  get isOpen (): boolean { return this.#state === ConnectionState.Open }
  get isClosed (): boolean { return this.#state === ConnectionState.Closed }
  get remoteAddress (): string | undefined { return this.#transport.remoteAddress }
  /** The minor version agreed; undefined before the first Open or OpenAck. */
  get minor (): 0 | 1 | undefined { return this.#minor }
  get isMinor1 (): boolean { return this.#minor === 1 }
  get sessionCount (): number { return this.#sessions.size }
  get sessions (): Iterable<Session> { return this.#sessions.values() }
  /** Whether part of a frame has arrived. */
  get isMidFrame (): boolean { return this.#reader.isMidFrame }
  get sentBytes (): number { return this.#batch.sentBytes }
  get unsentBytes (): number { return this.#batch.unsentBytes }
  /** Whether reading is paused because a 1.0 peer sent more than is taken. */
  get isPaused (): boolean { return this.#backlog?.isPaused === true }

  // --- negotiation, called by the role

  /** Fixes the minor version by the first Open or OpenAck; later calls change nothing. Answers the one in force. */
  fixMinor (peerMinor: number): 0 | 1 {
    if (this.#minor === undefined) {
      this.#minor = agreedMinor(this.settings.minor, peerMinor)
      this.#reader.maxFrameBytes = maxFrameBytes(this.#minor, this.settings)
    }
    return this.#minor
  }

  /** From the next frame on frames are packed, and those of the peer may be. */
  startPacking (): void {
    this.#reader.acceptPacked = true
    this.#batch.startPacking()
  }

  /** Whether the number is that of a session of now; or, of a 1.1 server whose numbers rise, of any so far. */
  isIssued (sessionID: number): boolean {
    return this.#sessions.has(sessionID) || (this.#minor === 1 && sessionID <= this.highestSessionID)
  }

  /** Makes a session known. */
  createSession (init: SessionInit, sink: SessionSink): Session {
    this.lastActiveAt = this.lastReceivedAt
    const session = new Session(this, sink, init)
    this.#sessions.set(init.id, session)
    if (init.id > this.highestSessionID) this.highestSessionID = init.id
    return session
  }

  /** Counts a frame that achieved nothing (a refused Open, say) against the flood bound. */
  countControlFrame (): void { this.#floodGuard.count() }

  // --- SessionOwner: what sessions and outboxes ask for

  hasRoom (): boolean { return this.#batch.hasRoom }

  writePayload (sessionID: number, reqID: number, bytes: Uint8Array, start: number, end: number, endStream: boolean,
    compression: number, metadata: readonly MetadataEntry[], more: boolean): void {
    this.#batch.writePayload(sessionID, reqID, bytes, start, end, endStream, compression, metadata, more)
  }

  writeMessage (message: SendableMessage): void { this.#batch.writeMessage(message) }

  sendControl (message: SendableMessage): void {
    if (this.#state !== ConnectionState.Open) return
    // How many Opens and Cancels there are is up to this side's own callers; everything else answers the peer.
    const isReply = message.type !== MsgType.Open && message.type !== MsgType.Cancel
    this.#batch.writeMessage(message, isReply)
    if (isReply && this.#batch.unsentReplyBytes > MAX_UNSENT_REPLY_BYTES) {
      this.destroy(new RpcError(Category.ResourceExhausted, 'the peer does not read its replies', { code: ErrorCode.SLOW_READER }))
    }
  }

  schedule (outbox: Outbox): void { this.#batch.schedule(outbox) }

  release (session: Session): void {
    this.#sessions.delete(session.id)
    this.lastActiveAt = this.clock.now()
    this.#role.handleReleased(session)
  }

  hold (_session: Session, bytes: number): void {
    this.#backlog ??= new Backlog(this.#transport, this.settings.recvBufferBytes)
    this.#backlog.hold(bytes, () => this.clock.now())
  }

  requestPlace (session: Session): void { (this.#places ??= new Places(this.settings.reassemblyPlaces)).request(session) }
  releasePlace (session: Session): void { this.#places?.release(session) }
  grantPlaces (): void { this.#places?.grant() }

  // --- TransportSink: what the transport reports

  onData (chunk: Uint8Array): void {
    if (this.#state === ConnectionState.Closed) return
    this.lastReceivedAt = this.clock.now()
    this.receivedBytes += chunk.byteLength
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#handleError(error)
    }
  }

  onAlive (): void { this.lastReceivedAt = this.clock.now() }

  onClose (error?: Error): void {
    if (this.#state === ConnectionState.Closed) return
    if (this.#error === undefined && error !== undefined) this.#error = connectionLost(error.message, error)
    if (this.#error === undefined && this.#reader.isMidFrame) this.#error = connectionLost('the stream ended inside a frame')
    this.#end()
  }

  // --- ending

  /** Ends the connection in an orderly way: what was said is sent, then the transport closes. Sessions fail with Unavailable. */
  close (code: CloseCode = CloseCode.Normal, reason = ''): void {
    if (this.#state !== ConnectionState.Open) return
    this.#batch.flush()
    this.#beginClosing(code, reason)
  }

  /** Ends the connection now. */
  destroy (error?: RpcError): void {
    if (this.#state === ConnectionState.Closed) return
    this.#error ??= error
    this.#transport.destroy(error)
    this.#end()
  }

  /** The peer broke a rule that costs the connection: it is told why, then the transport closes. */
  fail (error: ProtocolError): void {
    if (this.#state !== ConnectionState.Open) return
    const goAway = new GoAway()
    goAway.lastSessionID = this.highestSessionID
    goAway.errCode = error.category
    goAway.debugData = error.message
    this.#batch.writeMessage(goAway)
    this.#batch.flush()
    this.#error = new RpcError(Category.Unavailable, `connection ended: ${error.message}`, { code: error.code, cause: error })
    this.#beginClosing(CloseCode.ProtocolError, error.message)
  }

  /** Looks after everything that depends on time; called about once a second by whoever owns connections. */
  sweep (now: number): void {
    if (this.#state !== ConnectionState.Open) return
    const { stallTimeoutMs, messageTimeoutMs, windowBytes } = this.settings
    this.#floodGuard.sweep(now)
    if (this.#batch.isStalled(now, stallTimeoutMs)) {
      return this.destroy(new RpcError(Category.Unavailable, 'the peer stopped reading', { code: ErrorCode.SLOW_READER }))
    }
    if (this.#backlog?.wantsPong(now) === true) this.sendControl(new Pong())
    if (this.#backlog?.isStuck(now, stallTimeoutMs) === true) this.#closeLargestHolder()
    const half = effectiveWindow(windowBytes) / 2
    for (const session of this.#sessions.values()) {
      const { blockedSince } = session.outbox
      const { assembly } = session
      if (blockedSince !== undefined && now - blockedSince > stallTimeoutMs) session.fault(stalled('no credit for too long'))
      else if (assembly !== undefined && now - assembly.lastChunkAt > messageTimeoutMs && session.peerCredit >= half) session.fault(stalled('message not finished'))
    }
  }

  /** Asks the transport's own way, if it has one, for a sign of life. */
  pingTransport (): boolean {
    if (this.#transport.ping === undefined) return false
    this.#transport.ping()
    return true
  }

  #beginClosing (code: CloseCode, reason: string): void {
    this.#state = ConnectionState.Closing
    this.#reader.stop()
    this.#failSessions()
    this.#batch.close()
    this.#graceTimer = this.clock.timer(CLOSE_GRACE_MS, () => { this.destroy() })
    this.#transport.close(code, reason)
  }

  #end (): void {
    this.#state = ConnectionState.Closed
    this.#graceTimer?.stop()
    this.#reader.stop()
    this.#failSessions()
    this.#batch.close()
    this.#role.handleClosed(this.#error)
  }

  #failSessions (): void {
    if (this.#sessions.size === 0) return
    const reason = this.#role.lossOf(this.#error ?? connectionLost('connection closed'))
    for (const session of this.#sessions.values()) session.fail(reason)
  }

  #closeLargestHolder (): void {
    const [largest] = this.#sessions.values().sort((one, other) => other.heldBytes - one.heldBytes)
    largest?.fault(stalled('messages are not taken'))
  }

  // --- inbound

  #handleMessage (message: Message, frameBytes: number): void {
    if (this.#state !== ConnectionState.Open) return
    switch (message.type) {
      case MsgType.Payload: return this.#handlePayload(message, frameBytes)
      case MsgType.WindowUpdate: return this.#handleWindowUpdate(message)
      case MsgType.Open: return this.#role.handleOpen(message)
      case MsgType.OpenAck: return this.#role.handleOpenAck(message)
      case MsgType.Close: return this.#handleClose(message)
      case MsgType.Cancel: return this.#handleCancel(message)
      case MsgType.Ping: return this.#handlePing(message)
      case MsgType.Pong: return this.countControlFrame()
      case MsgType.GoAway: return this.#role.handleGoAway(message)
      default: return this.countControlFrame() // a type of a later version: ignored
    }
  }

  /** The session of an inbound message; undefined when it has ended. A number never issued is a fault. */
  #find (sessionID: number): Session | undefined {
    const session = this.#sessions.get(sessionID)
    if (session === undefined && this.#minor === 1 && (sessionID === 0 || sessionID > this.highestSessionID)) {
      throw new ProtocolError(`unknown session ${sessionID}`)
    }
    return session
  }

  #handlePayload (payload: Payload, frameBytes: number): void {
    const session = this.#find(payload.sessionID)
    if (session === undefined) return
    this.lastActiveAt = this.lastReceivedAt
    try {
      session.handlePayload(payload, frameBytes)
    } catch (error) {
      this.#handleSessionError(session, error)
    }
  }

  #handleWindowUpdate (update: WindowUpdate): void {
    if (this.#minor !== 1 || update.sessionID === 0) return
    const session = this.#find(update.sessionID)
    if (session === undefined || update.bytes === 0) return
    try {
      session.handleWindowUpdate(update.bytes)
    } catch (error) {
      this.#handleSessionError(session, error)
    }
  }

  #handleCancel (cancel: Cancel): void {
    const session = this.#find(cancel.sessionID)
    if (session === undefined) return
    this.countControlFrame()
    try {
      session.handleCancel(cancel.reqID)
    } catch (error) {
      this.#handleSessionError(session, error)
    }
  }

  #handleClose (close: Close): void { this.#find(close.sessionID)?.handleClose(close) }

  #handlePing (ping: Ping): void {
    this.hasPinged = true
    this.countControlFrame()
    if (this.#batch.hasRoom) return this.#sendPong(ping.id)
    // While the transport is full only the newest Pong is owed, and takes its turn.
    const isScheduled = this.#owedPong !== undefined
    this.#owedPong = ping.id
    if (isScheduled) return
    this.#batch.schedule({
      writeTurn: () => {
        this.#sendPong(this.#owedPong ?? 0)
        this.#owedPong = undefined
        return false
      }
    })
  }

  #sendPong (id: number): void {
    const pong = new Pong()
    pong.id = id
    this.sendControl(pong)
  }

  #handleSessionError (session: Session, error: unknown): void {
    if (error instanceof ProtocolError && error.scope === 'session') session.fault(error)
    else throw error
  }

  #handleError (error: unknown): void {
    if (error instanceof ProtocolError) return this.fail(error)
    this.#role.handleFault(error)
    this.fail(new ProtocolError('internal error'))
  }
}
