/**
 * Everything a connection says within one turn of the event loop, as one transport write; and the round
 * in which sessions that have to wait take turns, one chunk each (protocol 1.1, section 6). Knows frames
 * and the transport, not sessions.
 *
 *   control messages ------------------------.
 *   payloads while there is room -------------> batch --end of turn--> transport (at most 128 KiB unsent)
 *   outboxes that wait: round robin, a chunk a turn -'
 */
import type { Clock } from '../../types/clock.js'
import type { Transport } from '../../types/transport.js'
import type { MetadataEntry } from '../metadata.js'
import { ByteWriter } from '../wire/byte-writer.js'
import { encodeMessage, writePayload } from '../wire/encode.js'
import type { SendableMessage } from '../wire/encode.js'
import { writePackedFrame } from '../wire/packing.js'
import { bufferPool } from './buffer-pool.js'
import { Inbox } from './inbox.js'

/** No payload is begun while this much stands unsent. */
export const MAX_UNSENT_BYTES = 128 * 1024

/** A turn that says more than this is handed over in pieces, so that the peer need not wait for its end. */
const PIECE_BYTES = 64 * 1024
/** More than a Payload frame has beside content and metadata. */
const FRAME_SLACK_BYTES = 128

/** Something that takes turns at writing. */
export interface TurnTaker {
  /** Writes at most one chunk; true when it wants another turn. */
  writeTurn (): boolean
}

export class Batch {
  /** Bytes handed to the transport, all in all. */
  sentBytes = 0
  /** Clock milliseconds when the transport last took something, or was given something after it had taken everything. */
  #lastProgress = 0
  #isPacking = false
  #unsent = 0
  /** Replies in the writer, and in what the transport has not taken. */
  #saidReplyBytes = 0
  #unsentReplyBytes = 0
  #isScheduled = false
  #isClosed = false
  readonly #turns = new Inbox<TurnTaker>()
  readonly #writer = new ByteWriter(bufferPool)
  readonly #transport: Transport
  readonly #clock: Clock

  constructor (transport: Transport, clock: Clock) {
    this.#transport = transport
    this.#clock = clock
  }

  /** Whether a payload may be written now. */
  get hasRoom (): boolean { return this.#unsent + this.#writer.position < MAX_UNSENT_BYTES }

  /** Bytes said that the transport has not taken. */
  get unsentBytes (): number { return this.#unsent + this.#writer.position }

  /** Bytes of replies that the transport was given and has not taken; those of this turn are not counted yet. */
  get unsentReplyBytes (): number { return this.#unsentReplyBytes }

  /** Whether the transport has had something to take and took nothing for this long. */
  isStalled (now: number, timeoutMs: number): boolean { return this.#unsent > 0 && now - this.#lastProgress > timeoutMs }

  /** Packs every frame from the next one on. */
  startPacking (): void { this.#isPacking = true }

  /** Writes any message. @param isReply whether the peer asked for it, so that only its reading bounds how much there is. */
  writeMessage (message: SendableMessage, isReply = false): void {
    if (this.#isClosed) return
    const before = this.#writer.position
    if (this.#isPacking) this.#writePacked((writer) => { encodeMessage(writer, message) })
    else encodeMessage(this.#writer, message)
    if (isReply) this.#saidReplyBytes += this.#writer.position - before
    this.#wrote()
  }

  /** Writes a Payload frame without making a message of it. */
  writePayload (sessionID: number, reqID: number, bytes: Uint8Array, start: number, end: number, endStream: boolean,
    compression: number, metadata: readonly MetadataEntry[], more: boolean): void {
    if (this.#isClosed) return
    if (this.#writer.position + end - start + FRAME_SLACK_BYTES > PIECE_BYTES) this.#handOver()
    if (this.#isPacking) this.#writePacked((writer) => { writePayload(writer, sessionID, reqID, bytes, start, end, endStream, compression, metadata, more) })
    else writePayload(this.#writer, sessionID, reqID, bytes, start, end, endStream, compression, metadata, more)
    if (this.#writer.position >= PIECE_BYTES) this.#handOver()
    else this.#wrote()
  }

  /** Lets somebody write when its turn comes. */
  schedule (taker: TurnTaker): void {
    if (this.#isClosed) return
    this.#turns.push(taker)
    this.#wrote()
  }

  /** Hands over everything now: the last words before the transport is closed. */
  flush (): void {
    this.#serveTurns()
    this.#handOver()
  }

  #handOver (): void {
    const chunk = this.#writer.take()
    const { byteLength } = chunk
    if (byteLength === 0) return
    const replyBytes = this.#saidReplyBytes
    this.#saidReplyBytes = 0
    this.#unsentReplyBytes += replyBytes
    if (this.#unsent === 0) this.#lastProgress = this.#clock.now()
    this.#unsent += byteLength
    this.sentBytes += byteLength
    this.#transport.write(chunk, () => {
      bufferPool.release(chunk)
      this.#unsent -= byteLength
      this.#unsentReplyBytes -= replyBytes
      this.#lastProgress = this.#clock.now()
      if (this.#turns.length > 0) this.#wrote()
    })
  }

  /** Nothing more is said. */
  close (): void {
    this.#isClosed = true
    this.#turns.clear()
    this.#writer.discard()
  }

  #wrote (): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.endOfTurn(this.#endOfTurn)
  }

  readonly #endOfTurn = (): void => {
    this.#isScheduled = false
    if (!this.#isClosed) this.flush()
  }

  #serveTurns (): void {
    while (this.hasRoom) {
      const taker = this.#turns.shift()
      if (taker === undefined) return
      if (taker.writeTurn()) this.#turns.push(taker)
    }
  }

  #writePacked (encode: (writer: ByteWriter) => void): void {
    const plain = new ByteWriter(bufferPool)
    encode(plain)
    writePackedFrame(this.#writer, plain.bytes, 0, plain.position)
    plain.discard()
  }
}
