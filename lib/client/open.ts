/**
 * The client's role on a connection: Opens and what became of them, negotiation, GoAway. Protocol 1.0,
 * 3.1 and 5.1; 1.1, sections 1, 2 and 7.
 */
import type { Connection, Role } from '../connection/connection.js'
import type { Session, SessionSink } from '../connection/session.js'
import { Category, ErrorCode, ProtocolError, RpcError, categoryFromCode } from '../errors.js'
import { IdMap } from '../id-map.js'
import { Metadata } from '../metadata.js'
import type { MetadataEntry } from '../metadata.js'
import { metadataTooLarge } from '../connection/faults.js'
import { MAX_MESSAGE_METADATA_BYTES, MAX_NAME_BYTES, encodedMetadataBytes, metadataBytes } from '../connection/limits.js'
import { versionRefusal } from '../connection/negotiation.js'
import { MAX_CHUNK_BYTES } from '../connection/outbox.js'
import { Close, Open, PROTOCOL_MAJOR } from '../wire/message.js'
import type { Descr, GoAway, OpenAck, Payload } from '../wire/message.js'

/** What is wanted of a session. */
export interface OpenRequest {
  readonly descr: Descr
  readonly deadlineMS: bigint
  readonly metadata: readonly MetadataEntry[]
  /** The first payload, where it may travel inside the Open. */
  readonly first: Payload | undefined
}

/** Who is told. Exactly one of the first two is called, unless it was given up before. */
export interface Opener {
  /**
   * The server has accepted. @param create makes the session, with whoever is to receive what comes.
   * @param firstTaken whether First was taken; otherwise it is still to be sent.
   */
  onOpened (create: (sink: SessionSink) => Session, headers: Metadata, firstTaken: boolean): void
  onRefused (error: RpcError): void
}

/** Whether a first payload may travel inside an Open; a larger one follows it. */
export function fitsOpen (first: Payload): boolean {
  return first.payload.byteLength <= MAX_CHUNK_BYTES && encodedMetadataBytes(first.metadata) <= MAX_MESSAGE_METADATA_BYTES
}

interface HeldOpen {
  readonly request: OpenRequest
  readonly opener: Opener
  readonly heldAt: number
}

interface PendingOpen {
  readonly opener: Opener
  readonly type: number
  readonly hasFirst: boolean
  readonly sentAt: number
  isAbandoned: boolean
}

export interface OpenSettings {
  readonly packing: boolean
  readonly minor: 0 | 1
  readonly openTimeoutMs: number
}

export class OpenRole implements Role {
  /** Set by the server's GoAway: nothing more is opened here. */
  goAway: RpcError | undefined
  #lost: RpcError | undefined
  #connection!: Connection
  #lastOpenID = 0
  #packing: 'unasked' | 'asked' | 'settled'
  readonly #pending = new IdMap<PendingOpen>()
  /** While packing is being agreed nothing may follow the first Open. */
  #held: HeldOpen[] = []
  readonly #settings: OpenSettings
  readonly #on: { goAway: () => void, released: () => void, closed: (error: RpcError | undefined) => void }

  constructor (settings: OpenSettings, on: { goAway: () => void, released: () => void, closed: (error: RpcError | undefined) => void }) {
    this.#settings = settings
    this.#on = on
    this.#packing = settings.packing ? 'unasked' : 'settled'
  }

  /** The connection needs its role first. */
  attach (connection: Connection): void { this.#connection = connection }

  /** Opens that were not answered yet. */
  get pendingCount (): number { return this.#pending.size + this.#held.length }

  /** Why nothing can be opened any more, if that is so. */
  get refusal (): RpcError | undefined { return this.goAway ?? this.#lost }

  /** Whether nothing may be sent just now, because packing is being agreed. */
  get isSilent (): boolean { return this.#packing === 'asked' }

  /** Asks for a session; not once there is a `refusal`. Answers a function that gives the wish up. */
  open (request: OpenRequest, opener: Opener): () => void {
    const refusal = beyondLimits(request, this.#connection.settings.maxMetadataBytes)
    if (refusal !== undefined) opener.onRefused(refusal)
    else if (this.#packing === 'asked') this.#held.push({ request, opener, heldAt: this.#connection.clock.now() })
    else this.#send(request, opener)
    return () => { this.#giveUp(opener) }
  }

  /** Gives up on Opens that the server does not answer. */
  sweep (now: number): void {
    for (const pending of this.#pending.values()) {
      if (pending.isAbandoned || now - pending.sentAt < this.#settings.openTimeoutMs) continue
      pending.isAbandoned = true
      pending.opener.onRefused(unanswered())
    }
    const late = this.#held.filter((held) => now - held.heldAt >= this.#settings.openTimeoutMs)
    if (late.length === 0) return
    this.#held = this.#held.filter((held) => !late.includes(held))
    for (const held of late) held.opener.onRefused(unanswered())
  }

  handleOpen (): void { throw new ProtocolError('Open from a server') }

  handleOpenAck (ack: OpenAck): void {
    const pending = this.#pending.get(ack.openID)
    const versions = versionRefusal(ack.protocolMajor)
    if (versions === undefined) this.#connection.fixMinor(ack.protocolMinor)
    const isAccepted = ack.errCode === 0 && versions === undefined
    // Late and given-up agreements count too, or the sides would disagree for good (hazard H6).
    if (this.#packing === 'asked') this.#settlePacking(isAccepted, ack.packing)
    if (isAccepted && (ack.sessionID === 0 || this.#connection.isIssued(ack.sessionID))) throw new ProtocolError(`session ${ack.sessionID} is given twice`)
    this.#pending.delete(ack.openID)
    if (pending === undefined || pending.isAbandoned) {
      if (isAccepted) this.#closeUnwanted(ack)
    } else if (isAccepted) this.#accepted(pending, ack)
    else this.#refused(pending, ack, versions)
    this.#sendHeld()
  }

  handleGoAway (goAway: GoAway): void {
    if (goAway.errCode !== 0) {
      // The server ends the connection because of a fault: what runs fails with its words.
      return this.#connection.destroy(new RpcError(Category.Unavailable, `server ended the connection: ${goAway.debugData}`, { code: ErrorCode.PROTOCOL }))
    }
    this.goAway = new RpcError(Category.Unavailable, `server is going away: ${goAway.debugData}`, { code: ErrorCode.CLOSED })
    this.#refuseHeld(this.goAway)
    this.#on.goAway()
  }

  lossOf (error: RpcError): RpcError { return error }

  handleReleased (): void { this.#on.released() }

  handleFault (error: unknown): void {
    this.goAway ??= new RpcError(Category.Internal, 'fault in the RPC engine', { cause: error })
  }

  handleClosed (error: RpcError | undefined): void {
    const reason = this.#lost = error ?? this.goAway ?? new RpcError(Category.Unavailable, 'connection closed', { code: ErrorCode.CONNECTION_LOST })
    const openers = this.#pending.values().filter((pending) => !pending.isAbandoned).map((pending) => pending.opener)
    this.#pending.clear()
    for (const opener of openers) opener.onRefused(reason)
    this.#refuseHeld(reason)
    this.#on.closed(error)
  }

  #send (request: OpenRequest, opener: Opener): void {
    const { settings } = this.#connection
    const knowsFirst = this.#settings.minor === 1 && this.#connection.minor !== 0
    const open = new Open()
    open.openID = this.#nextOpenID()
    open.descr = request.descr
    open.protocolMajor = PROTOCOL_MAJOR
    open.protocolMinor = this.#settings.minor
    open.deadlineMS = request.deadlineMS
    open.maxPayloadSize = settings.maxRecvMsgSize
    open.metadata = request.metadata
    if (this.#settings.minor === 1) open.window = settings.windowBytes
    if (knowsFirst) open.first = request.first
    if (this.#packing === 'unasked') {
      open.packing = true
      this.#packing = 'asked'
    }
    this.#pending.set(open.openID, { opener, type: request.descr.type, hasFirst: open.first !== undefined, sentAt: this.#connection.clock.now(), isAbandoned: false })
    this.#connection.sendControl(open)
  }

  #giveUp (opener: Opener): void {
    this.#held = this.#held.filter((held) => held.opener !== opener)
    for (const pending of this.#pending.values()) if (pending.opener === opener) pending.isAbandoned = true
  }

  #accepted (pending: PendingOpen, ack: OpenAck): void {
    const init = { id: ack.sessionID, type: pending.type, peerWindow: ack.window, peerMaxBytes: ack.maxPayloadSize }
    pending.opener.onOpened((sink) => this.#connection.createSession(init, sink), Metadata.fromEntries(ack.metadata), pending.hasFirst && this.#connection.isMinor1)
  }

  #refused (pending: PendingOpen, ack: OpenAck, versions: string | undefined): void {
    pending.opener.onRefused(versions === undefined
      ? new RpcError(categoryFromCode(ack.errCode), ack.error, { metadata: Metadata.fromEntries(ack.metadata) })
      : new RpcError(Category.FailedPrecondition, versions, { code: ErrorCode.VERSION_MISMATCH }))
  }

  #refuseHeld (reason: RpcError): void {
    const held = this.#held
    this.#held = []
    for (const { opener } of held) opener.onRefused(reason)
  }

  /** A session that nobody wants any more must not stay open on the server (defect D20). */
  #closeUnwanted (ack: OpenAck): void {
    if (ack.sessionID > this.#connection.highestSessionID) this.#connection.highestSessionID = ack.sessionID
    const close = new Close()
    close.sessionID = ack.sessionID
    this.#connection.sendControl(close)
  }

  #settlePacking (isAccepted: boolean, isAgreed: boolean): void {
    // A refused Open agrees to nothing: the next one asks again.
    this.#packing = isAccepted ? 'settled' : 'unasked'
    if (isAccepted && isAgreed) this.#connection.startPacking()
  }

  #sendHeld (): void {
    while (this.#packing !== 'asked') {
      const held = this.#held.shift()
      if (held === undefined) return
      this.#send(held.request, held.opener)
    }
  }

  #nextOpenID (): number {
    do this.#lastOpenID = this.#lastOpenID === 0xffffffff ? 1 : this.#lastOpenID + 1
    while (this.#pending.has(this.#lastOpenID))
    return this.#lastOpenID
  }
}

/** An Open that the server would refuse is refused here: one far too large would cost the connection. */
function beyondLimits ({ descr, metadata }: OpenRequest, maxMetadataBytes: number): RpcError | undefined {
  if (Math.max(descr.package.length, descr.service.length, descr.call.length) > MAX_NAME_BYTES) {
    return new RpcError(Category.InvalidArgument, `a name exceeds ${MAX_NAME_BYTES} bytes`, { code: ErrorCode.NAME_TOO_LARGE })
  }
  return metadataBytes(metadata) > maxMetadataBytes ? metadataTooLarge(maxMetadataBytes) : undefined
}

function unanswered (): RpcError {
  return new RpcError(Category.Unavailable, 'the server did not answer the Open in time', { code: ErrorCode.CONNECTION_LOST })
}
