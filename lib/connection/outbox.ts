/**
 * What one session has to say and could not say yet: messages in order, cut into chunks, each chunk
 * written when there is credit and the transport has room (protocol 1.1, sections 3 and 6). Compression
 * happens here, before cutting; a message that is still being compressed holds its place in the order.
 */
import { Category, ErrorCode, RpcError } from '../errors.js'
import type { MetadataEntry } from '../metadata.js'
import { NO_METADATA } from '../metadata.js'
import { NO_BYTES, Payload } from '../wire/message.js'
import type { Close } from '../wire/message.js'
import { payloadFrameBytes } from '../wire/encode.js'
import type { Clock } from '../../types/clock.js'
import { deadlineExceeded, metadataTooLarge, rejected, tooLarge } from './faults.js'
import { FRAME_COST_OVERHEAD } from './flow-control.js'
import type { SendCredit } from './flow-control.js'
import { Inbox } from './inbox.js'
import { MAX_MESSAGE_METADATA_BYTES, encodedMetadataBytes } from './limits.js'
import { Outgoing, weightOf } from './outgoing.js'
import type { ConnectionSettings } from './settings.js'

/** The most content one chunk carries. */
export const MAX_CHUNK_BYTES = 64 * 1024
/** What an outbox needs of the connection. */
export interface OutboxOwner {
  readonly settings: ConnectionSettings
  readonly clock: Clock
  /** Whether the peer knows credit, chunks and outcomes per request. */
  readonly isMinor1: boolean
  /** Whether a payload may be written now; false while too much stands unsent. */
  hasRoom (): boolean
  /** Writes one Payload frame made of `payload`'s fields with `bytes[start, end)` as content. */
  writePayload (sessionID: number, reqID: number, bytes: Uint8Array, start: number, end: number,
    endStream: boolean, compression: number, metadata: readonly MetadataEntry[], more: boolean): void
  /** Writes a Payload with fields that only 1.1 has. */
  writeMessage (message: Payload | Close): void
  /** Puts the outbox into the round of those that wait to write. */
  schedule (outbox: Outbox): void
}

/** What may stand beside the bytes of a message. */
export interface SendOptions {
  readonly reqID?: number
  readonly endStream?: boolean
  readonly metadata?: readonly MetadataEntry[]
  /** 1.1, client, synchronous: when the request must be done, on the clock of the connection. */
  readonly deadlineAt?: number | undefined
  /** Whether the message must be taken however much waits (answers: one for each running request). */
  readonly force?: boolean
}

const noop = (): void => {}

/** The sending half of one session. */
export class Outbox {
  readonly sessionID: number
  readonly credit: SendCredit
  /** Since when it has been waiting for credit, clock milliseconds; undefined when it is not. */
  blockedSince: number | undefined
  /** Bytes and messages handed to the connection, as given by the application. */
  sentBytes = 0
  sentMessages = 0
  /** The peer's MaxPayloadSize; 0 when unknown. */
  #peerMaxBytes: number
  readonly #owner: OutboxOwner
  readonly #queue = new Inbox<Outgoing>()
  #queuedWeight = 0
  #isScheduled = false
  #closed: RpcError | undefined
  #afterAll: (() => void) | undefined

  constructor (owner: OutboxOwner, sessionID: number, credit: SendCredit, peerMaxBytes: number) {
    this.#owner = owner
    this.sessionID = sessionID
    this.credit = credit
    this.#peerMaxBytes = peerMaxBytes
  }

  /** Whether everything said was written. */
  get isEmpty (): boolean { return this.#queue.length === 0 }

  /**
   * Writes one message at once, if nothing stands in its way; otherwise does nothing and answers false. The
   * path of nearly every message: no options, no promise.
   */
  trySend (reqID: number, bytes: Uint8Array): boolean {
    const owner = this.#owner
    const { settings } = owner
    const length = bytes.byteLength
    if (this.#queue.length > 0 || (settings.compression !== 0 && length >= settings.compressionMinBytes) || !owner.hasRoom()) return false
    if (this.refusal(bytes, NO_METADATA) !== undefined) return false
    const cost = this.#cost(reqID, length, false, 0, NO_METADATA, false)
    if (!this.#fits(length, cost)) return false
    this.credit.available -= cost
    this.sentMessages++
    this.sentBytes += length
    owner.writePayload(this.sessionID, reqID, bytes, 0, length, false, 0, NO_METADATA, false)
    return true
  }

  /**
   * Sends one message. Answers undefined when it was written at once: the bytes may be reused. Otherwise
   * a promise that settles when the last byte was written or never will be; until then do not change
   * the bytes. Never throws: a refused message is a rejected promise (already handled, so that a caller
   * who does not look does not end the process).
   */
  send (bytes: Uint8Array, options: SendOptions = NO_OPTIONS): Promise<void> | undefined {
    const { settings } = this.#owner
    const { reqID = 0, endStream = false, metadata = NO_METADATA, deadlineAt, force = false } = options
    const refusal = this.refusal(bytes, metadata)
    if (refusal !== undefined) return rejected(refusal)
    this.sentMessages++
    this.sentBytes += bytes.byteLength
    const compressible = settings.compression !== 0 && bytes.byteLength >= settings.compressionMinBytes
    if (!compressible && deadlineAt === undefined && this.#queue.length === 0 && this.#owner.hasRoom()) {
      const cost = this.#cost(reqID, bytes.byteLength, endStream, 0, metadata, false)
      if (this.#fits(bytes.byteLength, cost)) {
        this.credit.available -= cost
        this.#owner.writePayload(this.sessionID, reqID, bytes, 0, bytes.byteLength, endStream, 0, metadata, false)
        return undefined
      }
    }
    if (!force && this.#queue.length > 0 && this.#queuedWeight + weightOf(bytes) > settings.sendBufferBytes) {
      return rejected(new RpcError(Category.ResourceExhausted, 'too many bytes are waiting to be sent: await each send', { code: ErrorCode.SEND_QUEUE_FULL }))
    }
    return this.#enqueue(new Outgoing(bytes, reqID, endStream, metadata, deadlineAt), compressible)
  }

  /**
   * 1.1: tells the peer that this request failed; free of credit, in its turn. Metadata that are too large
   * are left out: the failure itself must arrive.
   */
  sendFailure (reqID: number, failure: RpcError): Promise<void> {
    const entries = failure.metadata.toEntries()
    const metadata = this.metadataRefusal(entries) === undefined ? entries : NO_METADATA
    return this.#enqueue(new Outgoing(NO_BYTES, reqID, false, metadata, undefined, failure), false)
  }

  /** Why these bytes and metadata cannot be sent; undefined when they can. */
  refusal (bytes: Uint8Array, metadata: readonly MetadataEntry[]): Error | undefined {
    if (this.#closed !== undefined) return this.#closed
    // What is no bytes has no length either, and would make nonsense of credit and frames.
    if (!(bytes instanceof Uint8Array)) return Object.assign(new TypeError('a message must be a Uint8Array'), { code: ErrorCode.ARGUMENT_INVALID })
    const { maxSendMsgSize } = this.#owner.settings
    if (bytes.byteLength > maxSendMsgSize) return tooLarge(bytes.byteLength, `maxSendMsgSize of ${maxSendMsgSize}`)
    if (this.#peerMaxBytes !== 0 && bytes.byteLength > this.#peerMaxBytes) return tooLarge(bytes.byteLength, `the peer's maximum of ${this.#peerMaxBytes}`)
    return this.metadataRefusal(metadata)
  }

  /** Why these metadata cannot be sent beside a message or as trailers; undefined when they can. */
  metadataRefusal (metadata: readonly MetadataEntry[]): RpcError | undefined {
    if (metadata.length === 0) return undefined
    const maxBytes = this.#owner.isMinor1 ? MAX_MESSAGE_METADATA_BYTES : this.#owner.settings.maxMetadataBytes
    return encodedMetadataBytes(metadata) > maxBytes ? metadataTooLarge(maxBytes) : undefined
  }

  /**
   * Drops what waits for this request. Answers how much of it had been written: nothing of a message that
   * waited whole (`unbegun`), some chunks (`begun`), or all, because nothing waited (`absent`).
   */
  drop (reqID: number, reason: RpcError): 'absent' | 'unbegun' | 'begun' {
    if (this.#queue.length === 0) return 'absent'
    const dropped = this.#drop((outgoing) => outgoing.reqID === reqID, reason)
    if (dropped.length === 0) return 'absent'
    return dropped.some((outgoing) => outgoing.offset > 0) ? 'begun' : 'unbegun'
  }

  /** Drops all content that waits, and what was to happen `afterAll`; failures stay. Answers the ReqIDs of what was dropped. */
  dropContent (reason: RpcError): number[] {
    this.#afterAll = undefined
    return this.#drop((outgoing) => outgoing.failure === undefined, reason).map((outgoing) => outgoing.reqID)
  }

  /** Calls the function once everything accepted so far was written; at once when nothing waits. */
  afterAll (run: () => void): void {
    this.#afterAll = run
    this.#settleAfterAll()
  }

  /** Nothing more will be sent: what waits is dropped and fails with the reason, as does each later send. */
  close (reason: RpcError): void {
    if (this.#closed !== undefined) return
    this.#closed = reason
    this.#afterAll = undefined
    this.#queuedWeight = 0
    this.blockedSince = undefined
    for (const outgoing of this.#queue.clear()) outgoing.failed(reason)
  }

  /** The peer granted credit; false when it granted more than the protocol allows. */
  grant (bytes: number): boolean {
    const isLegal = this.credit.grant(bytes)
    this.#schedule()
    return isLegal
  }

  /**
   * Its turn has come: writes at most one chunk. Answers whether it wants another turn. Called by the
   * connection only, while there is room.
   */
  writeTurn (): boolean {
    this.#isScheduled = false
    const next = this.#queue.peek()
    if (next === undefined || !next.ready) return false
    if (next.failure !== undefined) this.#writeFailure(next.reqID, next.failure, next.metadata)
    else if (!this.#writeChunk(next)) return false
    if (next.offset < next.bytes.byteLength) return (this.#isScheduled = true)
    // The deadline may have passed in the queue: then it is out already.
    if (this.#queue.peek() === next) this.#queue.shift()
    this.#queuedWeight -= next.weight
    next.sent()
    this.#settleAfterAll()
    return this.#queue.length > 0 && (this.#isScheduled = true)
  }

  #drop (matches: (outgoing: Outgoing) => boolean, reason: RpcError): Outgoing[] {
    const head = this.#queue.peek()
    const dropped = this.#queue.remove(matches)
    for (const outgoing of dropped) {
      this.#queuedWeight -= outgoing.weight
      outgoing.failed(reason)
    }
    // Who waits for credit now has not waited yet.
    if (this.#queue.peek() !== head) this.blockedSince = undefined
    this.#settleAfterAll()
    this.#schedule()
    return dropped
  }

  #enqueue (outgoing: Outgoing, compressible: boolean): Promise<void> {
    if (this.#closed !== undefined) return rejected(this.#closed)
    const promise = new Promise<void>((resolve, reject) => {
      outgoing.sent = resolve
      outgoing.failed = reject
    })
    promise.catch(noop)
    this.#queue.push(outgoing)
    this.#queuedWeight += outgoing.weight
    if (compressible) this.#compress(outgoing)
    this.#schedule()
    return promise
  }

  #compress (outgoing: Outgoing): void {
    const { settings } = this.#owner
    const compressor = settings.compressors.get(settings.compression)
    if (compressor === undefined) return
    const plain = outgoing.bytes
    const finish = (packed: Uint8Array): void => {
      outgoing.ready = true
      // Only a gain is worth the peer's time.
      if (packed.byteLength < plain.byteLength) {
        outgoing.bytes = packed
        outgoing.compression = compressor.id
      }
      this.#schedule()
    }
    try {
      const packed = compressor.compress(plain)
      if (packed instanceof Uint8Array) return finish(packed)
      outgoing.ready = false
      packed.then(finish, () => { finish(plain) })
    } catch {
      // A compressor that fails costs the gain, not the message.
      finish(plain)
    }
  }

  #schedule (): void {
    if (this.#isScheduled) return
    const next = this.#queue.peek()
    if (next?.ready !== true) return
    this.#isScheduled = true
    this.#owner.schedule(this)
  }

  /** Writes the next chunk of the message; false when it has to wait for credit. */
  #writeChunk (next: Outgoing): boolean {
    const left = next.bytes.byteLength - next.offset
    const isFirst = next.offset === 0
    const metadata = isFirst ? next.metadata : NO_METADATA
    const compression = isFirst ? next.compression : 0
    const deadlineMS = isFirst && next.deadlineAt !== undefined ? Math.ceil(next.deadlineAt - this.#owner.clock.now()) : 0
    if (isFirst && next.deadlineAt !== undefined && deadlineMS < 1) {
      next.offset = next.bytes.byteLength
      next.sent = () => { next.failed(deadlineExceeded()) }
      return true
    }
    const extra = deadlineMS > 0 ? 16 : 0
    const maxContent = this.#owner.isMinor1
      ? Math.min(MAX_CHUNK_BYTES, (this.credit.maxFrameCost - extra - this.#cost(next.reqID, 8, next.endStream, compression, metadata, true)) & ~7)
      : left
    const content = Math.min(left, maxContent)
    const more = content < left
    const endStream = next.endStream && !more
    const cost = extra + this.#cost(next.reqID, content, endStream, compression, metadata, more)
    if (cost > this.credit.available) {
      this.blockedSince ??= this.#owner.clock.now()
      return false
    }
    this.blockedSince = undefined
    this.credit.available -= cost
    const end = next.offset + content
    if (deadlineMS > 0) this.#writeWithDeadline(next, end, more, deadlineMS)
    else this.#owner.writePayload(this.sessionID, next.reqID, next.bytes, next.offset, end, endStream, compression, metadata, more)
    next.offset = end
    return true
  }

  #writeWithDeadline (next: Outgoing, end: number, more: boolean, deadlineMS: number): void {
    const payload = new Payload()
    payload.sessionID = this.sessionID
    payload.reqID = next.reqID
    payload.payload = next.bytes.subarray(next.offset, end)
    payload.compression = next.compression
    payload.metadata = next.metadata
    payload.deadlineMS = BigInt(deadlineMS)
    payload.more = more
    this.#owner.writeMessage(payload)
  }

  #writeFailure (reqID: number, failure: RpcError, metadata: readonly MetadataEntry[]): void {
    const payload = new Payload()
    payload.sessionID = this.sessionID
    payload.reqID = reqID
    payload.metadata = metadata
    payload.errCode = failure.category
    payload.error = errorText(failure)
    this.#owner.writeMessage(payload)
  }

  /** What the frame costs; an empty end of a stream is free, as is everything toward a 1.0 peer. */
  #cost (reqID: number, content: number, endStream: boolean, compression: number, metadata: readonly MetadataEntry[], more: boolean): number {
    if (!this.#owner.isMinor1 || (content === 0 && endStream && metadata.length === 0)) return 0
    return FRAME_COST_OVERHEAD + payloadFrameBytes(this.sessionID, reqID, content, endStream, compression, metadata, more)
  }

  #fits (content: number, cost: number): boolean {
    return cost <= this.credit.available && (!this.#owner.isMinor1 || (content <= MAX_CHUNK_BYTES && cost <= this.credit.maxFrameCost))
  }

  #settleAfterAll (): void {
    if (this.#afterAll === undefined || this.#queue.length > 0) return
    const run = this.#afterAll
    this.#afterAll = undefined
    run()
  }
}

const NO_OPTIONS: SendOptions = Object.freeze({})

/** The most of an error's text that crosses the wire, in characters of at most four bytes. */
const MAX_ERROR_CHARACTERS = 1024

/** The text of an error as it is sent: at most 4 KiB. */
export function errorText (error: RpcError): string {
  return error.message.length > MAX_ERROR_CHARACTERS ? error.message.slice(0, MAX_ERROR_CHARACTERS) : error.message
}
