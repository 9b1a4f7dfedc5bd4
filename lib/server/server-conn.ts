/**
 * One client connection of a server: the server's role on it. Opens become sessions with a handler's call
 * behind each, or are refused; a drain lets what runs finish. Protocol 1.0, 5.1 and 5.6; 1.1, sections 1,
 * 2 and 7.
 *
 *   serving --gracefulClose--> draining --nothing runs--> closed
 *      `------------------- close, peer, fault ------------^
 */
import type { FastifyRequest } from 'fastify'
import type { Timer } from '../../types/clock.js'
import type { ConnectionView } from '../../types/handler-context.js'
import type { Logger } from '../../types/logger.js'
import { CloseCode } from '../../types/transport.js'
import type { Transport } from '../../types/transport.js'
import { Connection } from '../connection/connection.js'
import type { Role } from '../connection/connection.js'
import { versionRefusal } from '../connection/negotiation.js'
import { errorText } from '../connection/outbox.js'
import type { Session, SessionSink } from '../connection/session.js'
import type { ConnectionSettings } from '../connection/settings.js'
import { Category, ErrorCode, ProtocolError, RpcError, peerError } from '../errors.js'
import { GoAway, OpenAck, PROTOCOL_MAJOR, Ping, RpcType } from '../wire/message.js'
import type { Open } from '../wire/message.js'
import { examineOpen } from './accept.js'
import type { SessionContext } from './context.js'
import type { Registration, Registry } from './registry.js'
import { RequestGate } from './request-gate.js'
import { headersOf } from './response-headers.js'
import type { CallServices } from './services.js'
import { StreamCall } from './stream-call.js'
import { SyncCalls } from './sync-calls.js'

const MAX_SESSION_ID = 0xffffffff

/** What a connection gets of its server. */
export interface ServerConnInit {
  readonly id: number
  readonly transport: Transport
  readonly registry: Registry
  readonly services: CallServices
  readonly settings: ConnectionSettings
  readonly request: FastifyRequest | undefined
  readonly log: Logger
  readonly packing: boolean
  readonly maxSessions: number
  readonly maxRequests: number
  /** A reason to refuse new sessions just now, asked at every Open. */
  readonly overload: () => RpcError | undefined
  /** The connection is over. */
  readonly onClosed: (connection: ServerConn, error: RpcError | undefined) => void
}

/** The options about time; 0 means never. */
export interface ServerTimes {
  readonly handshakeTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly keepAliveIntervalMs: number
  readonly keepAliveTimeoutMs: number
}

type Call = StreamCall | SyncCalls

/** One client connection. Handlers see it as `context.connection`. */
export class ServerConn implements Role, ConnectionView {
  readonly id: number
  readonly connection: Connection
  #isDraining = false
  #isPacked = false
  /** When something ran at the last look that found anything, clock milliseconds. */
  #busyAt = 0
  /** Clock milliseconds of the unanswered question for a sign of life. */
  #probedAt: number | undefined
  #lastPing = 0
  #error: RpcError | undefined
  /** Look whether the drain is over; one for each that waits for it. */
  readonly #drainChecks = new Set<() => void>()
  /** Made for the first who asks: most connections nobody waits for. */
  #closed: Promise<void> | undefined
  #resolveClosed: (() => void) | undefined
  readonly #gate: RequestGate
  readonly #init: ServerConnInit

  constructor (init: ServerConnInit) {
    this.#init = init
    this.id = init.id
    this.#gate = new RequestGate(init.maxRequests)
    this.connection = new Connection(init.transport, this, init.settings, init.services.clock)
  }

  /** Resolves when the connection is over, whatever ended it. */
  get closed (): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      if (this.connection.isClosed) resolve()
      else this.#resolveClosed = resolve
    })
    return this.#closed
  }

  get log (): Logger { return this.#init.log }
  get remoteAddress (): string | undefined { return this.connection.remoteAddress }
  get minor (): 0 | 1 | undefined { return this.connection.minor }
  /** Whether no new sessions are taken. */
  get isDraining (): boolean { return this.#isDraining }
  /** Why the connection ended, when it was not an orderly end. */
  get error (): RpcError | undefined { return this.#error }
  get sessionCount (): number { return this.connection.sessionCount }

  /** Ends the connection now, without waiting for handlers: their signals abort, their callers get Unavailable. */
  async close (): Promise<void> {
    this.#forceSessions(new RpcError(Category.Unavailable, 'server closed the connection', { code: ErrorCode.CLOSED }))
    this.connection.close(CloseCode.GoingAway, 'closed')
    await this.closed
  }

  /**
   * Ends the connection in good order: takes no new sessions, waits for what runs, then closes. When the
   * signal aborts first, what still runs is told Unavailable and the connection is closed anyway.
   * @returns whether everything that ran could finish.
   */
  async gracefulClose ({ signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
    if (!this.connection.isOpen) {
      await this.closed
      return true
    }
    this.startDraining()
    const finished = await this.#drain(signal)
    if (!finished) this.#forceSessions(new RpcError(Category.Unavailable, 'server is shutting down', { code: ErrorCode.CLOSED }))
    // A Go client forgets its calls at a GoAway: their outcomes come first.
    if (this.connection.minor !== 1) this.#sendGoAway()
    this.connection.close(CloseCode.GoingAway, 'server is shutting down')
    await this.closed
    return finished
  }

  /** Takes no new sessions from now on, and tells a 1.1 client so; a Go client would drop everything, it is told last. */
  startDraining (): void {
    if (this.#isDraining) return
    this.#isDraining = true
    if (this.connection.minor === 1) this.#sendGoAway()
    this.#closeIdleSessions()
  }

  /** Looks after everything that depends on time; called about once a second. */
  sweep (now: number, times: ServerTimes): void {
    const { connection } = this
    connection.sweep(now)
    if (!connection.isOpen) return
    const { handshakeTimeoutMs, idleTimeoutMs, keepAliveIntervalMs, keepAliveTimeoutMs } = times
    if (handshakeTimeoutMs !== 0 && connection.highestSessionID === 0 && !connection.hasPinged && now - connection.lastActiveAt >= handshakeTimeoutMs) {
      return this.#giveUp('no session was opened in time', ErrorCode.HANDSHAKE_TIMEOUT)
    }
    if (idleTimeoutMs !== 0 && this.#idleMs(now) >= idleTimeoutMs) {
      return this.#giveUp('the connection was idle for too long', ErrorCode.IDLE_TIMEOUT)
    }
    // While this side does not read, silence says nothing about the peer.
    if (keepAliveIntervalMs === 0 || connection.isPaused) return
    const { lastReceivedAt } = connection
    if (this.#probedAt !== undefined && lastReceivedAt >= this.#probedAt) this.#probedAt = undefined
    if (this.#probedAt !== undefined) {
      // Counted from the question, not from the last word: this process may have slept in between.
      if (now - this.#probedAt >= keepAliveTimeoutMs) connection.destroy(new RpcError(Category.Unavailable, 'the peer is silent', { code: ErrorCode.PING_TIMEOUT }))
    } else if (now - lastReceivedAt >= keepAliveIntervalMs && this.#probe()) this.#probedAt = now
  }

  // --- Role

  handleOpen (open: Open): void {
    const { connection } = this
    const versions = versionRefusal(open.protocolMajor)
    if (versions !== undefined) return this.#refuse(open, new RpcError(Category.FailedPrecondition, versions, { code: ErrorCode.VERSION_MISMATCH }))
    connection.fixMinor(open.protocolMinor)
    const found = examineOpen(open, {
      registry: this.#init.registry,
      closed: this.#closedReason(),
      isMinor1: connection.isMinor1,
      sessionCount: connection.sessionCount,
      maxSessions: this.#init.maxSessions,
      maxMetadataBytes: this.#init.settings.maxMetadataBytes
    })
    if (found instanceof RpcError) this.#refuse(open, found)
    else this.#accept(open, found)
  }

  handleOpenAck (): void {
    throw new ProtocolError('OpenAck from a client')
  }

  handleGoAway (): void {
    // A client has nothing to drain here; a Go server ignores it too.
    this.connection.countControlFrame()
  }

  /** To a handler the loss of its caller is the end of anybody's interest: a cancel. */
  lossOf (error: RpcError): RpcError {
    return peerError(Category.Canceled, error.message, { code: error.code, cause: error })
  }

  handleReleased (): void {
    if (this.connection.sessionCount === 0) this.#checkDrains()
  }

  handleFault (error: unknown): void {
    this.#init.log.error({ err: error, connection: this.id }, 'fault in the RPC engine; the connection is ended')
  }

  handleClosed (error: RpcError | undefined): void {
    this.#error ??= error
    this.#checkDrains()
    this.#init.onClosed(this, this.#error)
    this.#resolveClosed?.()
  }

  // ---

  #closedReason (): RpcError | undefined {
    if (this.#isDraining) return peerError(Category.Unavailable, 'server is draining', { code: ErrorCode.CLOSED })
    if (this.connection.highestSessionID >= MAX_SESSION_ID) {
      this.#sendGoAway()
      return new RpcError(Category.Unavailable, 'session numbers are used up', { code: ErrorCode.CLOSED })
    }
    return this.#init.overload()
  }

  #refuse (open: Open, error: RpcError): void {
    const ack = new OpenAck()
    ack.openID = open.openID
    ack.protocolMajor = PROTOCOL_MAJOR
    ack.protocolMinor = this.connection.minor ?? 0
    ack.errCode = error.category
    ack.error = errorText(error)
    this.connection.sendControl(ack)
    this.connection.countControlFrame()
  }

  #accept (open: Open, registration: Registration): void {
    const { connection } = this
    const { settings, services } = this.#init
    const id = connection.highestSessionID + 1
    const context = this.#context(open, registration, id)
    const headers = headersOf(registration, context)
    if (RpcError.is(headers)) return this.#refuse(open, headers)
    const isPacking = id === 1 && open.packing && this.#init.packing
    this.#isPacked ||= isPacking
    const ack = new OpenAck()
    ack.openID = open.openID
    ack.sessionID = id
    ack.protocolMajor = PROTOCOL_MAJOR
    ack.protocolMinor = connection.minor ?? 0
    ack.maxPayloadSize = settings.maxRecvMsgSize
    ack.packing = this.#isPacked
    ack.metadata = headers
    if (connection.isMinor1) ack.window = settings.windowBytes
    connection.sendControl(ack)
    // It was one reply too many for a peer that does not read.
    if (!connection.isOpen) return
    // The agreeing OpenAck itself is plain (hazard H1).
    if (isPacking) connection.startPacking()

    const isMinor1 = connection.isMinor1
    const init = { context, registration, services, deadlineMS: open.deadlineMS, isMinor1 }
    const call = registration.type === RpcType.Synchronous ? new SyncCalls({ ...init, gate: this.#gate }) : new StreamCall(init)
    const sink: SessionSink = call
    const session = connection.createSession({ id, type: registration.type, peerWindow: open.window, peerMaxBytes: open.maxPayloadSize }, sink)
    call.begin(session)
    if (isMinor1 && open.first !== undefined && !session.isClosed) this.#handleFirst(session, open)
  }

  #handleFirst (session: Session, open: Open): void {
    if (open.first === undefined) return
    try {
      session.handleFirst(open.first)
    } catch (error) {
      if (error instanceof ProtocolError && error.scope === 'session') session.fault(error)
      else throw error
    }
  }

  #context (open: Open, registration: Registration, session: number): SessionContext {
    return {
      package: registration.package,
      service: registration.service,
      call: registration.call,
      type: registration.type,
      session,
      connection: this,
      request: this.#init.request,
      log: this.#init.log,
      metadata: open.metadata,
      traceID: open.traceID,
      spanID: open.spanID
    }
  }

  /** For how long nothing has run. Synchronous sessions that wait for their next request do not count: clients keep them. */
  #idleMs (now: number): number {
    const { connection } = this
    if (this.#isBusy()) this.#busyAt = now
    // Half a frame is only as busy as the peer that sends it.
    return now - Math.max(this.#busyAt, connection.lastActiveAt, connection.isMidFrame ? connection.lastReceivedAt : 0)
  }

  #isBusy (): boolean {
    const { connection } = this
    if (connection.unsentBytes > 0) return true
    for (const session of connection.sessions) {
      const call = session.sink as Call
      if (!(call instanceof SyncCalls) || call.pending > 0 || session.assembly !== undefined || !session.outbox.isEmpty) return true
    }
    return false
  }

  #giveUp (text: string, code: ErrorCode): void {
    this.#sendGoAway(text)
    this.#error = new RpcError(Category.Unavailable, text, { code })
    this.connection.close(CloseCode.GoingAway, text)
  }

  /** Asks for a sign of life; false where the peer knows no way to give one (a Go client ignores Ping). */
  #probe (): boolean {
    const { connection } = this
    if (connection.pingTransport()) return true
    if (!connection.isMinor1) return false
    const ping = new Ping()
    ping.id = ++this.#lastPing
    connection.sendControl(ping)
    return true
  }

  #sendGoAway (text = 'server shutting down'): void {
    const goAway = new GoAway()
    goAway.lastSessionID = this.connection.highestSessionID
    goAway.debugData = text
    this.connection.sendControl(goAway)
  }

  /** What is behind the sessions: this role gives each a call as its sink. */
  #calls (): Call[] { return [...this.connection.sessions].map((session) => session.sink as Call) }

  #closeIdleSessions (): void {
    const reason = new RpcError(Category.Unavailable, 'server is draining', { code: ErrorCode.CLOSED })
    for (const call of this.#calls()) if (call instanceof SyncCalls) call.drain(reason)
  }

  #forceSessions (reason: RpcError): void {
    for (const call of this.#calls()) call.forceEnd(reason)
  }

  /** Waits until nothing runs (and a 1.1 client has had its chance to leave), or the signal aborts. */
  async #drain (signal: AbortSignal | undefined): Promise<boolean> {
    if (signal?.aborted === true) return this.connection.sessionCount === 0
    let patience: Timer | undefined
    let resolve = (): void => {}
    const stop = new Promise<void>((_resolve) => { resolve = _resolve })
    const check = (): void => {
      if (!this.connection.isOpen) return resolve()
      if (this.connection.sessionCount > 0) return
      if (this.connection.minor !== 1) return resolve()
      // The client closes by itself after its last call; a moment is enough for one that means to.
      patience ??= this.#init.services.clock.timer(CLIENT_CLOSE_MS, resolve)
    }
    this.#drainChecks.add(check)
    signal?.addEventListener('abort', resolve, { once: true })
    check()
    await stop
    this.#drainChecks.delete(check)
    signal?.removeEventListener('abort', resolve)
    patience?.stop()
    return this.connection.sessionCount === 0
  }

  #checkDrains (): void {
    for (const check of this.#drainChecks) check()
  }
}

/** How long a 1.1 client that has nothing running may take to close by itself, milliseconds. */
const CLIENT_CLOSE_MS = 500
