/**
 * What a caller's stream stands on while interceptors stand around it. Until the innermost has opened the stream it keeps
 * what the caller says, in order and bounded; then each message passes their wrappers, one at a time, and so does what
 * arrives. Where nothing is wrapped it steps aside for the call itself.
 *
 *   caller --> InterceptedIO --> outermost wrapper --> ... --> innermost wrapper --> StreamCall
 */
import type { ClientStreamIO, ClientStreamWrapper, StreamClientCall } from '../../types/client-options.js'
import type { MessageOptions, ReceivedMessage } from '../../types/stream.js'
import { rejected, sendAfterEnd } from '../connection/faults.js'
import { Inbox } from '../connection/inbox.js'
import { weightOf } from '../connection/outgoing.js'
import type { RpcError } from '../errors.js'
import { Metadata } from '../metadata.js'
import { sessionClosed } from './call-errors.js'
import type { CallerIO, StreamCall } from './stream-call.js'

interface Said {
  readonly bytes: Uint8Array
  readonly options: MessageOptions | undefined
  readonly resolve: (sending: void | Promise<void>) => void
  readonly reject: (error: unknown) => void
}

const noop = (): void => {}

export class InterceptedIO implements CallerIO {
  /** What no wrapper has seen yet. */
  readonly #waiting = new Inbox<Said>()
  /** The message that is on its way through the wrappers. */
  #passing: Said | undefined
  /** What both count against the bound on what waits. */
  #heldBytes = 0
  #isSendEnded = false
  /** What the wrappers have made of the stream; undefined until it is opened or over. */
  #io: ClientStreamIO | undefined
  #resolveOpened = noop
  readonly #opened: Promise<void>
  readonly #stream: StreamCall

  constructor (stream: StreamCall) {
    this.#stream = stream
    this.#opened = new Promise((resolve) => { this.#resolveOpened = resolve })
    stream.io = this
    stream.onOver = (error) => { this.#over(error) }
  }

  /** Opens the stream. @throws what a wrapper throws; then it was not opened. TypeError CLAW_ERR_ARGUMENT_INVALID */
  open (call: StreamClientCall): void {
    const io = call.wrappers.reduceRight(wrapped, rawIO(this.#stream))
    this.#stream.start(call, call.options)
    if (call.wrappers.length === 0) return this.#stepAside()
    this.#io = io
    this.#resolveOpened()
    this.#pass(io)
  }

  send (bytes: Uint8Array, options?: MessageOptions): Promise<void> {
    const stream = this.#stream
    if (stream.isOver) return stream.send(bytes, options)
    const count = this.#waiting.length + (this.#passing === undefined ? 0 : 1)
    const refusal = this.#isSendEnded ? sendAfterEnd() : stream.refusal(bytes, count, this.#heldBytes)
    if (refusal !== undefined) return rejected(refusal)
    const sending = new Promise<void>((resolve, reject) => {
      // As they are now: who sends the next message may change them.
      const copy = options?.metadata === undefined ? options : { ...options, metadata: new Metadata(options.metadata) }
      this.#waiting.push({ bytes, options: copy, resolve, reject })
      this.#heldBytes += weightOf(bytes)
    })
    sending.catch(noop)
    this.#pass(this.#io)
    return sending
  }

  endSending (): void {
    this.#isSendEnded = true
    this.#pass(this.#io)
  }

  recv (): AsyncIterableIterator<Uint8Array> { return this.#read((io) => io.recv()) }
  messages (): AsyncIterableIterator<ReceivedMessage> { return this.#read((io) => io.messages()) }

  /** Nothing is wrapped, or nothing was opened: what was said goes to the call, as all that follows. */
  #stepAside (): void {
    const stream = this.#io = this.#stream
    stream.io = stream
    for (const { bytes, options, resolve } of this.#waiting.clear()) resolve(stream.send(bytes, options))
    if (this.#isSendEnded) stream.endSending()
    this.#resolveOpened()
  }

  #pass (io: ClientStreamIO | undefined): void {
    if (io === undefined || this.#passing !== undefined) return
    const next = this.#passing = this.#waiting.shift()
    if (next === undefined) {
      if (this.#isSendEnded) this.#stream.endSending()
      return
    }
    const { bytes, options, resolve, reject } = next
    // Now: a wrapper may transfer the buffer.
    const weight = weightOf(bytes)
    const passed = (): void => {
      this.#passing = undefined
      this.#heldBytes -= weight
      this.#pass(io)
    }
    // Asked at once; what it throws at once is a rejection too.
    const sending = new Promise<void>((resolve) => { resolve(io.send(bytes, options)) })
    sending.then(resolve, reject).then(passed, noop)
  }

  #over (error: RpcError | undefined): void {
    if (this.#io === undefined) return this.#stepAside()
    // A wrapper may keep it for ever.
    if (error !== undefined) this.#passing?.reject(error)
    for (const { reject } of this.#waiting.clear()) reject(error ?? sessionClosed())
  }

  /** Reads what the wrappers make of what arrives, as soon as it is known who they are. */
  #read<T> (begin: (io: ClientStreamIO) => AsyncIterableIterator<T>): AsyncIterableIterator<T> {
    let inner: AsyncIterableIterator<T> | undefined
    let early = 0
    let isLeft = false
    const done = (): Promise<IteratorResult<T>> => Promise.resolve({ value: undefined, done: true })
    const first = (): Promise<IteratorResult<T>> => {
      early--
      if (isLeft) return done()
      inner ??= begin(this.#io ?? this.#stream)
      return inner.next()
    }
    const iterator: AsyncIterableIterator<T> = {
      next: () => {
        if (isLeft) return done()
        if (inner !== undefined && early === 0) return inner.next()
        early++
        return this.#opened.then(first)
      },
      return: () => {
        isLeft = true
        // Whatever the wrappers do about it.
        this.#stream.left()
        return inner?.return?.() ?? done()
      },
      [Symbol.asyncIterator]: () => iterator
    }
    return iterator
  }
}

/** `wrap` of a call. Goes by the call it is asked on, so that a copy has it too. */
export function wrap (this: StreamClientCall, wrapper: ClientStreamWrapper): StreamClientCall {
  return { ...this, wrappers: [...this.wrappers, wrapper] }
}

function wrapped (io: ClientStreamIO, wrapper: ClientStreamWrapper): ClientStreamIO {
  const own = wrapper(io)
  return {
    send: own.send?.bind(own) ?? io.send,
    recv: own.recv?.bind(own) ?? io.recv,
    messages: own.messages?.bind(own) ?? io.messages
  }
}

/** The stream as the innermost wrapper finds it. */
function rawIO (stream: StreamCall): ClientStreamIO {
  return {
    send: (bytes, options) => stream.send(bytes, options),
    recv: () => stream.recv(),
    messages: () => stream.messages()
  }
}
