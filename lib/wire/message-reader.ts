/**
 * A stream of bytes to messages: finds the frames, however the transport cuts the stream, and hands over each
 * one decoded (protocol 1.0, sections 1 and 3; hazard H1). It owns the bytes of the one frame that is still
 * incomplete and the limit on frames; it knows no session, and nothing of when packing is agreed.
 *
 *     chunk -> [gather what began in an earlier chunk] -> whole frames, in place -> [hold the rest]
 *                                                    plain | packed -> unpack
 */
import { ByteReader } from './byte-reader.js'
import { readMessage } from './decode.js'
import { frameTooLarge, malformed } from './malformed.js'
import { NO_BYTES } from './message.js'
import type { Message } from './message.js'
import { PACK_HEADER_BYTES, SNIFF_BYTES, isPlainFrameStart, readPackedSizes, unpack } from './packing.js'
import { Kind, WORD } from './struct.js'

/** What a reader starts with. */
export interface MessageReaderInit {
  /** The largest frame that is accepted, unpacked, in bytes. */
  maxFrameBytes: number
  /**
   * Takes each message, in order, during `push`. Bytes in it are views of the pushed chunk (or of memory that
   * only this message has): they stay valid and unchanged, and keep the chunk alive.
   * @param frameBytes the size of the frame, unpacked
   */
  onMessage: (message: Message, frameBytes: number) => void
}

/** The smallest memory for a frame that is gathered. */
const MIN_HELD_BYTES = 64

/** See the head of this file. */
export class MessageReader {
  /** May be changed at any time; counts from the next frame on. */
  maxFrameBytes: number
  /**
   * Whether frames may come packed. Set once packing is agreed (inside `onMessage` it counts for the very next
   * frame) and never cleared: each frame then shows by its first 16 bytes what it is.
   */
  acceptPacked = false

  readonly #onMessage: (message: Message, frameBytes: number) => void
  readonly #chunk = new ByteReader()
  /** Over bytes that are not the chunk: gathered or unpacked ones. */
  readonly #own = new ByteReader()
  /** The start of a frame whose end has not arrived: the first #heldLength bytes of #held. */
  #held: Uint8Array = NO_BYTES
  #heldLength = 0
  /** The size of that frame as it is in the stream; 0 while too little of it has come to tell. */
  #heldFrame = 0
  /** Whether the frame that was sized last is packed; decided once, when its head is there. */
  #isPacked = false
  #isPushing = false
  #isStopped = false

  constructor ({ maxFrameBytes, onMessage }: MessageReaderInit) {
    this.maxFrameBytes = maxFrameBytes
    this.#onMessage = onMessage
  }

  /** Whether part of a frame has arrived: a stream that ends now ends inside a frame. */
  get isMidFrame (): boolean { return this.#heldLength > 0 }

  /** How much memory holds the part of a frame that has arrived. */
  get heldBytes (): number { return this.#held.length }

  /**
   * Delivers every message that the chunk completes. The chunk belongs to the reader from now on: nobody may
   * write into it again. Does nothing after {@link stop}. Not to be called from inside `onMessage`.
   * @throws ProtocolError when the bytes are no frame or one too large; the reader is stopped then, as it is
   * after an error thrown by `onMessage`
   */
  push (chunk: Uint8Array): void {
    if (this.#isStopped) return
    if (this.#isPushing) throw new Error('push called from inside onMessage')
    this.#isPushing = true
    try {
      const at = this.#heldLength > 0 ? this.#gather(chunk) : 0
      if (at < chunk.length) this.#readFrames(chunk, at)
    } catch (error) {
      this.stop()
      throw error
    } finally {
      this.#isPushing = false
      // An idle connection must not keep its last chunk alive.
      this.#chunk.unbind()
      this.#own.unbind()
    }
  }

  /** Delivers no further message and drops what is held. May be called from inside `onMessage`. */
  stop (): void {
    this.#isStopped = true
    this.#drop()
  }

  /** Delivers the frames that are whole in the chunk, without copying, and holds what is left. */
  #readFrames (chunk: Uint8Array, at: number): void {
    const reader = this.#chunk
    reader.bind(chunk)
    const end = chunk.length
    while (at < end && !this.#isStopped) {
      const size = this.#frameSize(reader, at, end - at)
      if (size === 0 || size > end - at) {
        this.#heldFrame = size
        this.#hold(chunk, at, end)
        return
      }
      this.#deliver(reader, at, size)
      at += size
    }
  }

  /** Adds to the held frame; answers how many bytes of the chunk it took. Delivers the frame when it is whole. */
  #gather (chunk: Uint8Array): number {
    let at = 0
    if (this.#heldFrame === 0) {
      at = Math.min(this.#headBytes - this.#heldLength, chunk.length)
      this.#hold(chunk, 0, at)
      this.#own.bind(this.#held)
      this.#heldFrame = this.#frameSize(this.#own, 0, this.#heldLength)
      if (this.#heldFrame === 0) return at
    }
    const upTo = Math.min(at + this.#heldFrame - this.#heldLength, chunk.length)
    this.#hold(chunk, at, upTo)
    if (this.#heldLength === this.#heldFrame) {
      const size = this.#heldFrame
      this.#own.bind(this.#held)
      // The memory goes with the message, which may point into it for ever.
      this.#drop()
      this.#deliver(this.#own, 0, size)
    }
    return upTo
  }

  /** How many bytes tell the size of a frame. */
  get #headBytes (): number { return this.acceptPacked ? SNIFF_BYTES : WORD }

  /** The size in the stream of the frame that starts at `at`, checked; 0 when `available` bytes do not tell. */
  #frameSize (reader: ByteReader, at: number, available: number): number {
    if (available < this.#headBytes) return 0
    this.#isPacked = this.acceptPacked && !isPlainFrameStart(reader.bytes, at)
    if (this.#isPacked) {
      return PACK_HEADER_BYTES + readPackedSizes(reader.bytes, at, this.maxFrameBytes).packed
    }
    const { view } = reader
    const low = view.getUint32(at, true)
    if ((low >>> 16 & 0xff) !== Kind.Struct) throw malformed(`frame begins with type code ${low >>> 16 & 0xff}`)
    const size = (low >>> 24) + view.getUint32(at + 4, true) * 0x100
    // What was recognised by its second word has one.
    if (size < this.#headBytes || size % WORD !== 0) throw malformed(`frame of ${size} bytes`)
    if (size > this.maxFrameBytes) throw frameTooLarge(size, this.maxFrameBytes)
    return size
  }

  #deliver (reader: ByteReader, at: number, size: number): void {
    if (this.#isPacked) {
      const frame = unpack(reader.bytes, at, at + size, this.maxFrameBytes)
      this.#own.bind(frame)
      this.#onMessage(readMessage(this.#own, 0, frame.length), frame.length)
    } else {
      this.#onMessage(readMessage(reader, at, at + size), size)
    }
  }

  /**
   * Copies chunk[start, end) to the end of what is held. The memory doubles with what has arrived and is never
   * larger than the frame; what a peer merely announces costs nothing.
   */
  #hold (chunk: Uint8Array, start: number, end: number): void {
    const length = this.#heldLength + end - start
    if (length > this.#held.length) {
      const wanted = Math.max(MIN_HELD_BYTES, 2 * length)
      const grown = new Uint8Array(this.#heldFrame === 0 ? wanted : Math.min(this.#heldFrame, wanted))
      grown.set(this.#held.subarray(0, this.#heldLength))
      this.#held = grown
    }
    this.#held.set(chunk.subarray(start, end), this.#heldLength)
    this.#heldLength = length
  }

  #drop (): void {
    this.#held = NO_BYTES
    this.#heldLength = 0
    this.#heldFrame = 0
  }
}
