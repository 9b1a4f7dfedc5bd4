/**
 * Puts a message together from its chunks (protocol 1.1, section 6). Owns the stored bytes, bounds them
 * by the largest message this side accepts, and keeps what their frames cost until somebody takes them.
 */
import { Payload } from '../wire/message.js'
import { ProtocolError } from '../errors.js'

/** A chunk that is not the last carries at least this much, so that chunks cannot be a flood of crumbs. */
export const MIN_CHUNK_BYTES = 4 * 1024

/** What every chunk must be, also one that is thrown away. @throws ProtocolError */
export function checkChunk (chunk: Payload): void {
  if (!chunk.more) return
  if (chunk.payload.byteLength < MIN_CHUNK_BYTES) throw new ProtocolError('chunk too small', { scope: 'session' })
  if (chunk.endStream || chunk.errCode !== 0) throw new ProtocolError('a chunk with More cannot end anything', { scope: 'session' })
}

/** The unfinished message of one session. */
export class Assembly {
  readonly reqID: number
  /** Clock milliseconds of the last chunk. */
  lastChunkAt: number
  /** Cost of the stored frames that was not given back yet. */
  uncredited = 0
  /** Whether it holds one of the connection's places, so that its frames are credited as they are stored. */
  hasPlace = false
  /** Too large, or unwanted: the rest is thrown away as it comes. */
  isDiscarding = false
  readonly #head: Payload
  readonly #startedAt: number
  #buffer: Uint8Array
  #length = 0

  constructor (head: Payload, now: number) {
    this.#head = head
    this.reqID = head.reqID
    this.lastChunkAt = this.#startedAt = now
    this.#buffer = new Uint8Array(head.payload.byteLength)
  }

  /** Bytes stored so far. */
  get length (): number { return this.#length }

  /**
   * Stores a copy of the chunk's content, which does not keep the transport's buffer alive. False when the
   * message would be larger than the maximum: then everything stored is dropped and the rest discarded.
   */
  add (chunk: Payload, maxBytes: number): boolean {
    const bytes = chunk.payload
    const length = this.#length + bytes.byteLength
    if (length > maxBytes) {
      this.discard()
      return false
    }
    if (length > this.#buffer.byteLength) {
      const grown = new Uint8Array(Math.min(maxBytes, Math.max(length, this.#buffer.byteLength * 2)))
      grown.set(this.#buffer.subarray(0, this.#length))
      this.#buffer = grown
    }
    this.#buffer.set(bytes, this.#length)
    this.#length = length
    return true
  }

  /** Throws away what is stored and, as it comes, the rest. */
  discard (): void {
    this.isDiscarding = true
    this.#buffer = new Uint8Array(0)
    this.#length = 0
  }

  /** Whether the deadline of the message, which counts from its first chunk, has passed. */
  isLate (now: number): boolean {
    return this.#head.deadlineMS !== 0n && now - this.#startedAt >= Number(this.#head.deadlineMS)
  }

  /** The whole message, with the fields of its first chunk (of the deadline, what is left) and the end mark of its last. */
  join (last: Payload, now: number): Payload {
    const message = new Payload()
    const head = this.#head
    message.sessionID = head.sessionID
    message.reqID = head.reqID
    message.payload = this.#buffer.subarray(0, this.#length)
    message.compression = head.compression
    message.metadata = head.metadata
    if (head.deadlineMS !== 0n) message.deadlineMS = head.deadlineMS - BigInt(Math.floor(now - this.#startedAt))
    message.endStream = last.endStream
    return message
  }
}
