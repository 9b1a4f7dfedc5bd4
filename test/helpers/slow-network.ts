/**
 * Two transports with a network between them that moves only when the test says so: each direction by itself, a frame,
 * a write or any number of bytes at a time, so that what one side says crosses what the other says in any way. Tells of
 * every frame when it is written and when it arrives. Knows nothing of what frames mean.
 */
import { MessageReader } from '../../lib/wire/message-reader.js'
import type { Message } from '../../lib/wire/message.js'
import type { Transport, TransportSink } from '../../types/transport.js'

export type Side = 'client' | 'server'

export interface NetworkListener {
  /** @param unsent bytes written before this frame whose `done` was not called; undefined where frames are packed. */
  said (from: Side, message: Message, frameBytes: number, unsent: number | undefined): void
  /** Called before the receiver gets the bytes that make the frame whole. */
  heard (by: Side, message: Message, frameBytes: number): void
  /** A side stops reading. */
  paused (side: Side): void
}

export interface NetworkOptions {
  /** What each direction takes off its writer's hands before it arrives, like the buffers of a socket, bytes. */
  socketBytes?: number
  isPacking?: boolean
}

/** One write. Until `done` was called its bytes are the writer's memory, which is read as late as may be. */
interface Write { bytes: Uint8Array, readonly done: () => void, isTaken: boolean, readonly frameEnds: number[] }

/** How much is delivered: what is left of one write or of one frame, or so many bytes. */
export type Piece = 'write' | 'frame' | number

/** One direction. */
class Lane {
  readonly writes: Write[] = []
  /** Of the first write, bytes that have arrived. */
  offset = 0
  /** Bytes on their way; and those of them that the writer thinks sent. */
  bytes = 0
  takenBytes = 0
  /** Nothing more is written; all of it has arrived. */
  isClosing = false
  isFinished = false
  readonly sentReader: MessageReader
  readonly heardReader: MessageReader
  frameEnds: number[] = []

  constructor (from: Side, by: Side, isPacking: boolean, listener: NetworkListener) {
    const frames: [Message, number][] = []
    let at = 0
    this.sentReader = new MessageReader({
      maxFrameBytes: 1 << 26,
      onMessage: (message, frameBytes) => {
        frames.push([message, frameBytes])
        listener.said(from, message, frameBytes, isPacking ? undefined : this.bytes - this.takenBytes + at)
        at += frameBytes
        this.frameEnds.push(at)
      }
    })
    this.heardReader = new MessageReader({
      maxFrameBytes: 1 << 26,
      onMessage: () => {
        const [message, frameBytes] = frames.shift() as [Message, number]
        listener.heard(by, message, frameBytes)
      }
    })
    this.sentReader.acceptPacked = this.heardReader.acceptPacked = isPacking
    this.startWrite = () => {
      this.frameEnds = []
      at = 0
    }
  }

  readonly startWrite: () => void
}

class End implements Transport {
  readonly side: Side
  readonly out: Lane
  peer!: End
  sink: TransportSink | undefined
  isEnded = false
  readonly #options: Required<NetworkOptions>
  readonly #listener: NetworkListener

  constructor (side: Side, options: Required<NetworkOptions>, listener: NetworkListener) {
    this.side = side
    this.out = new Lane(side, side === 'client' ? 'server' : 'client', options.isPacking, listener)
    this.#options = options
    this.#listener = listener
  }

  start (sink: TransportSink): void { this.sink = sink }

  write (chunk: Uint8Array, done: () => void): void {
    const { out } = this
    if (this.isEnded || out.isClosing) return queueMicrotask(done)
    out.startWrite()
    out.sentReader.push(new Uint8Array(chunk))
    out.writes.push({ bytes: chunk, done, isTaken: false, frameEnds: this.#options.isPacking ? [] : out.frameEnds })
    out.bytes += chunk.byteLength
    queueMicrotask(() => { this.#take() })
  }

  pause (): void { this.#listener.paused(this.side) }
  resume (): void {}
  close (): void { this.out.isClosing = true }

  destroy (error?: Error): void {
    this.end(error)
    this.peer.end(new Error('the other side destroyed the connection', { cause: error }))
  }

  /** Delivers one piece of what this side wrote; false when there was nothing. */
  deliver (piece: Piece): boolean {
    const { out, peer } = this
    const write = out.writes[0]
    if (this.isEnded || peer.sink === undefined) return false
    if (write === undefined) return this.#deliverEnd()
    const left = write.bytes.byteLength - out.offset
    const frameEnd = write.frameEnds.find((end) => end > out.offset) ?? write.bytes.byteLength
    const length = piece === 'write' ? left : piece === 'frame' ? frameEnd - out.offset : Math.min(left, piece)
    const chunk = write.bytes.slice(out.offset, out.offset + length)
    out.offset += length
    out.bytes -= length
    if (write.isTaken) out.takenBytes -= length
    out.heardReader.push(chunk)
    peer.sink.onData(chunk)
    if (length === left) {
      out.writes.shift()
      out.offset = 0
      if (!write.isTaken) write.done()
    }
    this.#take()
    return true
  }

  /** The end of the stream travels behind the last byte; the peer then closes its half too. */
  #deliverEnd (): boolean {
    const { out, peer } = this
    if (!out.isClosing || out.isFinished) return false
    out.isFinished = peer.out.isClosing = true
    if (peer.out.isFinished) {
      this.end()
      peer.end()
    }
    return true
  }

  /** Takes off the writer's hands what the sockets have room for. */
  #take (): void {
    const { out } = this
    if (this.isEnded) return
    for (const [at, write] of out.writes.entries()) {
      if (write.isTaken) continue
      const left = write.bytes.byteLength - (at === 0 ? out.offset : 0)
      if (out.takenBytes + left > this.#options.socketBytes) return
      write.isTaken = true
      write.bytes = write.bytes.slice()
      out.takenBytes += left
      write.done()
    }
  }

  end (error?: Error): void {
    if (this.isEnded) return
    this.isEnded = true
    const { out, sink } = this
    const writes = out.writes.splice(0)
    out.bytes = out.takenBytes = 0
    queueMicrotask(() => {
      sink?.onClose(error)
      for (const write of writes) if (!write.isTaken) write.done()
    })
  }
}

export class SlowNetwork {
  readonly client: Transport
  readonly server: Transport
  readonly #ends: Record<Side, End>

  constructor (listener: NetworkListener, { socketBytes = 0, isPacking = false }: NetworkOptions = {}) {
    const options = { socketBytes, isPacking }
    const client = new End('client', options, listener)
    const server = new End('server', options, listener)
    client.peer = server
    server.peer = client
    this.#ends = { client, server }
    this.client = client
    this.server = server
  }

  /** Bytes on their way in both directions. */
  get bytes (): number { return this.#ends.client.out.bytes + this.#ends.server.out.bytes }

  /** Delivers one piece of what this side wrote, or the end of the stream; false when there was nothing. */
  deliver (from: Side, piece: Piece): boolean { return this.#ends[from].deliver(piece) }

  /** Delivers, write by write, all that is on its way now; false when there was nothing. */
  deliverAll (): boolean {
    let any = false
    for (const end of [this.#ends.client, this.#ends.server]) {
      for (let writes = Math.max(1, end.out.writes.length); writes > 0; writes--) any = end.deliver('write') || any
    }
    return any
  }

  /** The connection breaks. */
  cut (): void {
    this.#ends.client.end(new Error('cut'))
    this.#ends.server.end(new Error('cut'))
  }
}
