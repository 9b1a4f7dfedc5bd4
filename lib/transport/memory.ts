/**
 * Two transports joined in memory: for tests, and for a client and a server in one process. Keeps the contract to the
 * letter, so that what works here works over a socket: never re-entrant, back pressure as true as the reader is slow,
 * chunks of any size. Knows nothing of what the bytes mean.
 */
import { Account } from './account.js'
import { connectionLost } from '../errors.js'
import type { Clock } from '../../types/clock.js'
import type { Transport, TransportSink } from '../../types/transport.js'

/** How the two transports behave; all of it optional. */
export interface MemoryPairOptions {
  /** Delivers at the end of this clock's turn; in a microtask when absent. */
  clock?: Clock
  /**
   * Cuts the stream anew, across the borders of writes: bytes to deliver next, or a function that is given how many
   * there are and answers how many to deliver. Each write arrives as one chunk when absent.
   */
  split?: number | ((available: number) => number)
  /** What both sides know as the address of the other. */
  remoteAddress?: string
}

/**
 * Two connected transports. The reader gets copies, made when it takes them, so that a writer that reuses memory
 * before `done` shows itself by wrong bytes.
 */
export function memoryPair (options: MemoryPairOptions = {}): [Transport, Transport] {
  return MemoryTransport.pair(options)
}

/** One side. Holds what it wrote until the peer takes it. */
class MemoryTransport implements Transport {
  readonly remoteAddress: string | undefined
  readonly #account = new Account()
  readonly #hop: (run: () => void) => void
  readonly #split: ((available: number) => number) | undefined
  #peer!: MemoryTransport // joined by `pair` before anyone sees it

  /** Written and not taken by the peer; of the first chunk `#offset` bytes were taken. */
  #queue: Uint8Array[] = []
  #offset = 0
  #bytes = 0

  #paused = false
  #isPumpDue = false
  /** Nothing more is written here. */
  #closing = false
  /** The peer has all that was written and knows that nothing follows. */
  #finished = false

  private constructor ({ clock, split, remoteAddress }: MemoryPairOptions) {
    this.remoteAddress = remoteAddress
    this.#hop = clock === undefined ? queueMicrotask : run => { clock.endOfTurn(run) }
    this.#split = typeof split === 'number' ? () => split : split
  }

  static pair (options: MemoryPairOptions): [Transport, Transport] {
    const one = new MemoryTransport(options)
    const other = new MemoryTransport(options)
    one.#peer = other
    other.#peer = one
    return [one, other]
  }

  start (sink: TransportSink): void {
    this.#account.start(sink)
    this.#peer.#pumpSoon()
  }

  write (chunk: Uint8Array, done: () => void): void {
    if (this.#closing || this.#account.ended) {
      this.#account.refuse(done)
      return
    }
    this.#account.owe(done)
    this.#queue.push(chunk)
    this.#bytes += chunk.length
    this.#pumpSoon()
  }

  pause (): void {
    this.#paused = true
  }

  resume (): void {
    this.#paused = false
    this.#peer.#pumpSoon()
  }

  close (): void {
    this.#closing = true
    this.#pumpSoon()
  }

  destroy (error?: Error): void {
    if (this.#account.ended) return
    this.#cut(error)
    this.#peer.#cut(connectionLost('the other side destroyed the connection', error))
  }

  #cut (error?: Error): void {
    this.#queue = []
    this.#bytes = 0
    this.#account.endSoon(error)
  }

  #pumpSoon (): void {
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    this.#hop(() => {
      this.#isPumpDue = false
      this.#pump()
    })
  }

  /** Moves what was written to the peer, as long as it takes it; then the end. */
  #pump (): void {
    while (this.#peer.#isTaking() && this.#queue.length > 0) this.#deliver()
    if (this.#queue.length > 0 || !this.#closing || this.#finished || !this.#peer.#isTaking()) return

    this.#finished = true
    this.#peer.close() // its own half; it ends when we have taken what it wrote
    this.#concludeWhenBothFinished()
    this.#peer.#concludeWhenBothFinished()
  }

  #isTaking (): boolean {
    return !this.#paused && this.#account.sink !== undefined
  }

  #concludeWhenBothFinished (): void {
    if (this.#finished && this.#peer.#finished) this.#account.end()
  }

  /** One chunk to the peer, then `done` for every write that went with it. */
  #deliver (): void {
    const piece = new Uint8Array(this.#nextSize())
    let filled = 0
    let written = 0
    for (const chunk of this.#queue) {
      const part = chunk.subarray(this.#offset, this.#offset + piece.length - filled)
      piece.set(part, filled)
      filled += part.length
      this.#offset += part.length
      if (this.#offset < chunk.length) break
      this.#offset = 0
      written++
      if (filled === piece.length) break
    }
    this.#queue.splice(0, written)
    this.#bytes -= filled

    if (filled > 0) this.#peer.#account.sink?.onData(piece)
    for (; written > 0; written--) this.#account.taken()
  }

  #nextSize (): number {
    const first = (this.#queue[0]?.length ?? 0) - this.#offset
    if (this.#split === undefined || this.#bytes === 0) return first
    return Math.min(Math.max(1, Math.trunc(this.#split(this.#bytes))), this.#bytes)
  }
}
