/**
 * A WebSocket as the WHATWG defines it (browsers, Deno, Bun, Node from version 22) as a transport. That interface has
 * neither a callback for what was sent nor a pause: the one is replaced by looks at `bufferedAmount`, the other by a
 * list. Knows nothing of Node.
 */
import { Account } from './account.js'
import { closeError, closeReason, textMessage } from './ending.js'
import { CloseCode } from '../../types/transport.js'
import type { Clock, Timer } from '../../types/clock.js'
import type { Transport, TransportSink } from '../../types/transport.js'

/** What is read of the events. */
export interface WebSocketEvent {
  readonly type: string
  readonly data?: unknown
  readonly code?: number
  readonly reason?: string
  readonly error?: unknown
}

/** The part of a WebSocket that is used. */
export interface WebSocketLike {
  binaryType: string
  readonly readyState: number
  readonly bufferedAmount: number
  send (data: Uint8Array<ArrayBuffer>): void
  close (code?: number, reason?: string): void
  addEventListener (type: 'open' | 'message' | 'close' | 'error', listener: (event: WebSocketEvent) => void): void
  removeEventListener (type: 'open' | 'message' | 'close' | 'error', listener: (event: WebSocketEvent) => void): void
}

const CONNECTING = 0
const OPEN = 1
const CLOSED = 3
/** A page may close with 1000 and 3000 to 4999 only; our other codes travel as themselves plus this. */
const PRIVATE_CODES = 3000
/** Between two looks at `bufferedAmount`: at once, then twice as long each time nothing has left. */
const FIRST_LOOK_MS = 1
const LAST_LOOK_MS = 64

/** See {@link WebSocketLike}. */
export class BrowserWebSocketTransport implements Transport {
  readonly remoteAddress: string | undefined
  readonly #socket: WebSocketLike
  readonly #clock: Clock
  readonly #account = new Account()

  /** Bytes ever sent, and what that was after each write that is not known to have left. */
  #sentBytes = 0
  readonly #marks: number[] = []
  #lookTimer: Timer | undefined
  #lookMs = FIRST_LOOK_MS

  /**
   * Arrived before `start` or while paused. A browser reads on whatever we do, so only the flow control of the
   * protocol bounds this list; the engine pauses for peers alone that have none (1.0).
   */
  readonly #held: Uint8Array[] = []
  #paused = false
  #isReleaseDue = false
  /** The end came while chunks were held: it waits behind them. */
  #heldEnd: { error: Error | undefined } | undefined

  #closedHere = false
  #fault: Error | undefined
  #cause: unknown

  constructor (socket: WebSocketLike, clock: Clock, remoteAddress: string | undefined) {
    this.#socket = socket
    this.#clock = clock
    this.remoteAddress = remoteAddress
    if (socket.readyState === CLOSED) {
      this.#account.endSoon(closeError(1006, '', false))
      return
    }
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('message', this.#handleMessage)
    socket.addEventListener('error', this.#handleError)
    socket.addEventListener('close', this.#handleClose)
  }

  start (sink: TransportSink): void {
    this.#account.start(sink)
    this.#release()
  }

  write (chunk: Uint8Array, done: () => void): void {
    if (this.#account.ended || this.#socket.readyState === CONNECTING) {
      this.#account.refuse(done)
      return
    }
    this.#account.owe(done)
    // Settled by the end, which is near: a writer that was told at once would go on in the same turn.
    if (this.#socket.readyState !== OPEN) return
    // Copied at once, yet counted as unsent until it has left: else nothing would ever slow a writer down.
    this.#socket.send(chunk as Uint8Array<ArrayBuffer>)
    this.#sentBytes += chunk.byteLength
    this.#marks.push(this.#sentBytes)
    this.#lookLater()
  }

  pause (): void {
    this.#paused = true
  }

  resume (): void {
    this.#paused = false
    if (this.#isReleaseDue || (this.#held.length === 0 && this.#heldEnd === undefined)) return
    this.#isReleaseDue = true
    queueMicrotask(() => { // the sink is in the middle of something
      this.#isReleaseDue = false
      this.#release()
    })
  }

  close (code: CloseCode = CloseCode.Normal, reason = ''): void {
    if (this.#account.ended || this.#closedHere) return
    this.#closedHere = true
    this.#closeSocket(code, reason)
  }

  /** There is no terminate: the browser closes politely in the background, and here it is over. */
  destroy (error?: Error): void {
    if (this.#account.ended) return
    this.#account.endSoon(error)
    this.#stop()
    this.#socket.close()
  }

  readonly #handleMessage = ({ data }: WebSocketEvent): void => {
    if (this.#fault !== undefined) return
    if (this.#marks.length > 0) this.#look() // what arrives often answers what has left; timers are slow in hidden tabs
    if (typeof data === 'string') {
      this.#fault = textMessage()
      this.#closeSocket(CloseCode.UnsupportedData, 'binary messages only')
      return
    }
    const chunk = new Uint8Array(data as ArrayBuffer)
    const sink = this.#account.sink
    if (sink !== undefined && !this.#paused && this.#held.length === 0) sink.onData(chunk)
    else if (!this.#account.ended) this.#held.push(chunk)
  }

  /** Says next to nothing by intention of the standard; `close` always follows. */
  readonly #handleError = ({ error }: WebSocketEvent): void => {
    this.#cause = error
  }

  readonly #handleClose = ({ code = 1006, reason = '' }: WebSocketEvent): void => {
    this.#stop()
    this.#heldEnd = { error: this.#fault ?? closeError(code, reason, this.#closedHere, this.#cause) }
    this.#release()
  }

  #closeSocket (code: CloseCode, reason: string): void {
    // GoingAway is as good an end as Normal and must not look like a fault to the peer.
    const isGood = code === CloseCode.Normal || code === CloseCode.GoingAway
    this.#socket.close(isGood ? CloseCode.Normal : PRIVATE_CODES + code, closeReason(reason))
  }

  /** Delivers what was held until the sink pauses again, then the end if that was held too. */
  #release (): void {
    if (this.#account.sink === undefined) return // not yet, or not any more
    let count = 0
    for (; count < this.#held.length && !this.#paused; count++) {
      const chunk = this.#held[count]
      if (chunk !== undefined) this.#account.sink?.onData(chunk)
    }
    this.#held.splice(0, count)
    if (this.#heldEnd !== undefined && this.#held.length === 0) this.#account.end(this.#heldEnd.error)
  }

  /** Settles the writes that have left: all that was sent less what is still buffered. */
  #look (): void {
    const leftBytes = this.#sentBytes - this.#socket.bufferedAmount
    for (let mark = this.#marks[0]; mark !== undefined && mark <= leftBytes; mark = this.#marks[0]) {
      this.#marks.shift()
      this.#lookMs = FIRST_LOOK_MS
      this.#account.taken()
    }
  }

  #lookLater (): void {
    if (this.#lookTimer !== undefined || this.#marks.length === 0 || this.#account.ended) return
    this.#lookTimer = this.#clock.timer(this.#lookMs, () => {
      this.#lookTimer = undefined
      this.#lookMs = Math.min(this.#lookMs * 2, LAST_LOOK_MS)
      this.#look()
      this.#lookLater()
    })
  }

  #stop (): void {
    this.#lookTimer?.stop()
    this.#lookTimer = undefined
    this.#marks.length = 0
    this.#socket.removeEventListener('message', this.#handleMessage)
    this.#socket.removeEventListener('error', this.#handleError)
    this.#socket.removeEventListener('close', this.#handleClose)
  }
}
