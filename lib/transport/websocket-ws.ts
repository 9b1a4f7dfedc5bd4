/**
 * A WebSocket of the package `ws`, server or client side, as a transport. Declares the little it needs of it and does
 * not import it. What is said here about `ws` was read in its source (8.23).
 */
import { Account } from './account.js'
import { closeError, closeReason, textMessage } from './ending.js'
import { connectionLost } from '../errors.js'
import { CloseCode } from '../../types/transport.js'
import type { Transport, TransportSink } from '../../types/transport.js'

/** The part of a `ws` WebSocket that is used. */
export interface WsSocket {
  binaryType: string
  readonly readyState: number
  on (event: string, listener: (...args: never[]) => void): unknown
  off (event: string, listener: (...args: never[]) => void): unknown
  send (data: Uint8Array, options: { binary: boolean }, sent: () => void): void
  ping (): void
  pause (): void
  resume (): void
  close (code: number, reason: string): void
  terminate (): void
}

const CONNECTING = 0
const OPEN = 1
const CLOSED = 3
const BINARY = { binary: true }

/** See {@link WsSocket}. */
export class WsTransport implements Transport {
  readonly remoteAddress: string | undefined
  readonly #socket: WsSocket
  readonly #copiesWrites: boolean
  readonly #restBytes: number
  /** Bytes read and written since it last rested. */
  #readBytes = 0
  #writtenBytes = 0
  #isReadResting = false
  #isWriteResting = false
  /** Writes that were taken while it rests, and are told afterwards. */
  #takenMeanwhile = 0
  #isPaused = false
  readonly #account = new Account()
  /** What arrived before `start`. */
  #early: Uint8Array[] = []
  #closedHere = false
  #fault: Error | undefined

  /** @param restBytes after so many bytes the other sockets have their turn; Infinity: never. */
  constructor (socket: WsSocket, copiesWrites: boolean, restBytes: number, remoteAddress: string | undefined) {
    this.#socket = socket
    this.#copiesWrites = copiesWrites
    this.#restBytes = restBytes
    this.remoteAddress = remoteAddress
    if (socket.readyState === CLOSED) {
      this.#account.endSoon(closeError(1006, '', false))
      return
    }
    // A message in fragments comes as it is. Any other binaryType would join it: one more copy, for nothing.
    socket.binaryType = 'fragments'
    // All now and not in `start`: an error without a listener would end the process, a message without one is lost.
    socket.on('error', this.#handleError)
    socket.on('close', this.#handleClose)
    socket.on('message', this.#handleMessage)
    socket.on('ping', this.#handleAlive)
    socket.on('pong', this.#handleAlive)
  }

  start (sink: TransportSink): void {
    this.#account.start(sink)
    const early = this.#early
    this.#early = []
    for (const chunk of early) this.#deliver(chunk)
  }

  write (chunk: Uint8Array, done: () => void): void {
    // `ws` answers a send in another state in another order than the sends before it, and throws while connecting.
    if (this.#account.ended || this.#socket.readyState === CONNECTING) {
      this.#account.refuse(done)
      return
    }
    this.#account.owe(done)
    // Not taken, but its end, which is near, settles it: a writer that was told at once would go on in the same turn,
    // and the end would never get one.
    if (this.#socket.readyState !== OPEN) return
    // The server side hands header and chunk to the kernel in one gathering write and copies nothing; the client side
    // masks into a new buffer. The callback is that of the socket's write, which Node never calls synchronously.
    this.#socket.send(this.#copiesWrites ? new Uint8Array(chunk) : chunk, BINARY, this.#taken)
    this.#writtenBytes += chunk.byteLength
    if (this.#writtenBytes >= this.#restBytes && !this.#isWriteResting) this.#restWriting()
  }

  pause (): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume (): void {
    this.#isPaused = false
    if (!this.#isReadResting) this.#socket.resume()
  }

  close (code: CloseCode = CloseCode.Normal, reason = ''): void {
    if (this.#account.ended || this.#closedHere) return
    this.#closedHere = true
    this.#socket.close(code, closeReason(reason))
  }

  destroy (error?: Error): void {
    if (this.#account.ended) return
    this.#account.endSoon(error)
    this.#stopListening()
    // Not close(): toward a mute peer `ws` would hold the socket, and a timer that keeps the process alive, for 30 s.
    this.#socket.terminate()
  }

  ping (): void {
    if (this.#socket.readyState === OPEN) this.#socket.ping()
  }

  readonly #handleMessage = (data: Uint8Array[] | Uint8Array | ArrayBuffer, isBinary: boolean): void => {
    if (!isBinary) this.#fail(textMessage())
    else if (Array.isArray(data)) for (const fragment of data) this.#deliver(fragment)
    else this.#deliver(data instanceof ArrayBuffer ? new Uint8Array(data) : data)
  }

  readonly #handleAlive = (): void => {
    this.#account.sink?.onAlive?.()
  }

  /** A broken frame, a message too large: `ws` has begun to close with the right code, and `close` follows. */
  readonly #handleError = (error: Error): void => {
    this.#fault ??= connectionLost(error.message, error)
  }

  readonly #handleClose = (code: number, reason: { toString (): string }): void => {
    this.#account.end(this.#fault ?? closeError(code, reason.toString(), this.#closedHere))
    this.#stopListening()
    this.#socket.off('error', this.#handleError)
    this.#socket.off('close', this.#handleClose)
  }

  #deliver (chunk: Uint8Array): void {
    const sink = this.#account.sink
    if (sink !== undefined) sink.onData(chunk)
    else if (!this.#account.ended) this.#early.push(chunk)
    this.#readBytes += chunk.byteLength
    if (this.#readBytes >= this.#restBytes && !this.#isReadResting) this.#restReading()
  }

  /** Node reads one socket on and on while there is something, up to 2 MiB, before it looks at the next. */
  #restReading (): void {
    this.#isReadResting = true
    this.#socket.pause()
    nextTurn(() => {
      this.#isReadResting = false
      this.#readBytes = 0
      if (!this.#isPaused) this.#socket.resume()
    })
  }

  /** And tells of a write in the very turn in which the kernel took it, until the kernel takes no more. */
  #restWriting (): void {
    this.#isWriteResting = true
    nextTurn(() => {
      this.#isWriteResting = false
      this.#writtenBytes = 0
      for (; this.#takenMeanwhile > 0; this.#takenMeanwhile--) this.#account.taken()
    })
  }

  readonly #taken = (): void => {
    if (this.#isWriteResting) this.#takenMeanwhile++
    else this.#account.taken()
  }

  /**
   * Tells the peer and hears no more of it. The sink learns of it when the peer has answered, so that whoever holds
   * the transport can still destroy it while a mute peer does not.
   */
  #fail (fault: Error): void {
    this.#fault = fault
    this.#socket.off('message', this.#handleMessage)
    this.#socket.close(CloseCode.UnsupportedData, 'binary messages only')
    this.#socket.resume() // a paused socket would not read the peer's answer
  }

  #stopListening (): void {
    this.#socket.off('message', this.#handleMessage)
    this.#socket.off('ping', this.#handleAlive)
    this.#socket.off('pong', this.#handleAlive)
  }
}

/** Runs it in the next turn of the event loop. Browsers, which have no such sockets, have no such function either. */
function nextTurn (run: () => void): void {
  (globalThis as unknown as { setImmediate: (run: () => void) => void }).setImmediate(run)
}
