/**
 * The receiving half of a stream, the same for handlers and callers: messages wait in order until
 * somebody iterates; what is taken is credited back to the peer; bytes are decompressed when they are
 * read, inside the reader's own loop, so that the limit holds where the bytes appear.
 */
import type { Clock } from '../../types/clock.js'
import type { ReceivedMessage } from '../../types/stream.js'
import { Inbox } from '../connection/inbox.js'
import { RpcError } from '../errors.js'
import { Metadata } from '../metadata.js'
import type { Payload } from '../wire/message.js'
import { decompressPayload } from './decompress.js'
import type { DecompressSettings } from './decompress.js'
import { detached } from './detached.js'

interface Waiter {
  take (message: Payload): void
  finish (): void
}

type Project<T> = (bytes: Uint8Array, message: Payload) => T

const bytesOnly: Project<Uint8Array> = (bytes) => bytes
const withMetadata: Project<ReceivedMessage> = (payload, message) => ({ payload, metadata: Metadata.fromEntries(message.metadata) })

export class ReceiveHalf {
  /** Messages that nobody took yet, with their costs. */
  readonly #queue = new Inbox<Payload>()
  readonly #costs = new Inbox<number>()
  /** How many of the last ones may still be views of a chunk; until the end of the turn. */
  #attached = 0
  #isDetachScheduled = false
  readonly #settings: DecompressSettings
  readonly #taken: (cost: number) => void
  readonly #onCorrupt: (error: RpcError) => void
  readonly #clock: Clock
  #isEnded = false
  #error: RpcError | undefined
  #waiter: Waiter | undefined
  #inFlight: Promise<unknown> | undefined

  /**
   * @param taken told what a message had cost when somebody takes it.
   * @param onCorrupt told when a payload cannot be decompressed: the stream cannot go on.
   */
  constructor (taken: (cost: number) => void, settings: DecompressSettings, onCorrupt: (error: RpcError) => void, clock: Clock) {
    this.#taken = taken
    this.#settings = settings
    this.#onCorrupt = onCorrupt
    this.#clock = clock
  }

  /** Why it ended, once it has; undefined after a good end. */
  get error (): RpcError | undefined { return this.#error }
  get isEnded (): boolean { return this.#isEnded }

  /** A message arrived. */
  push (message: Payload, cost: number): void {
    if (this.#isEnded) return this.#taken(cost)
    const waiter = this.#waiter
    if (waiter === undefined) {
      this.#queue.push(message)
      this.#costs.push(cost)
      return this.#detachLater()
    }
    this.#waiter = undefined
    this.#taken(cost)
    waiter.take(message)
  }

  /** A reader that keeps up takes messages within the turn in which they came; only those it leaves need memory of their own. */
  #detachLater (): void {
    this.#attached++
    if (this.#isDetachScheduled) return
    this.#isDetachScheduled = true
    this.#clock.endOfTurn(this.#detach)
  }

  readonly #detach = (): void => {
    this.#isDetachScheduled = false
    for (const message of this.#queue.last(this.#attached)) detached(message)
    this.#attached = 0
  }

  /** Nothing more will come: after what waits, iteration ends, or throws the error. */
  end (error?: RpcError): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#error = error
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.finish()
  }

  /** Nobody will read any more: what waits is thrown away and credited. */
  discard (): void {
    this.end()
    this.#queue.clear()
    for (const cost of this.#costs.clear()) this.#taken(cost)
  }

  /** Iterates over the bytes of each message. Leaving the loop early leaves the rest for the next iteration. */
  recv (onReturn?: () => void): AsyncIterableIterator<Uint8Array> { return this.#iterate(bytesOnly, onReturn) }

  /** Iterates over the messages with their metadata. */
  messages (onReturn?: () => void): AsyncIterableIterator<ReceivedMessage> { return this.#iterate(withMetadata, onReturn) }

  #iterate<T> (project: Project<T>, onReturn: (() => void) | undefined): AsyncIterableIterator<T> {
    let isDone = false
    const iterator: AsyncIterableIterator<T> = {
      next: () => isDone ? Promise.resolve({ value: undefined, done: true }) : this.#next(project),
      return: () => {
        isDone = true
        onReturn?.()
        return Promise.resolve({ value: undefined, done: true })
      },
      [Symbol.asyncIterator]: () => iterator
    }
    return iterator
  }

  #next<T> (project: Project<T>): Promise<IteratorResult<T>> {
    if (this.#inFlight !== undefined || this.#waiter !== undefined) return this.#after(project)
    const message = this.#queue.shift()
    if (message !== undefined) {
      this.#taken(this.#costs.shift() ?? 0)
      return this.#yield(message, project)
    }
    if (this.#isEnded) return this.#finished()
    return this.#wait(project)
  }

  /** Somebody else's `next` is under way: order is kept by waiting for it. */
  #after<T> (project: Project<T>): Promise<IteratorResult<T>> {
    const again = (): Promise<IteratorResult<T>> => this.#next(project)
    return (this.#inFlight ?? Promise.resolve()).then(again, again)
  }

  #wait<T> (project: Project<T>): Promise<IteratorResult<T>> {
    const waiting = new Promise<IteratorResult<T>>((resolve, reject) => {
      this.#waiter = {
        take: (message) => {
          this.#inFlight = undefined
          if (message.compression === 0) resolve({ value: project(message.payload, message), done: false })
          else resolve(this.#yield(message, project))
        },
        finish: () => {
          this.#inFlight = undefined
          if (this.#error !== undefined) reject(this.#error)
          else resolve({ value: undefined, done: true })
        }
      }
    })
    this.#inFlight = waiting
    return waiting
  }

  #finished<T> (): Promise<IteratorResult<T>> {
    return this.#error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(this.#error)
  }

  #yield<T> (message: Payload, project: Project<T>): Promise<IteratorResult<T>> {
    if (message.compression === 0) return Promise.resolve({ value: project(message.payload, message), done: false })
    return this.#decompress(message, project)
  }

  async #decompress<T> (message: Payload, project: Project<T>): Promise<IteratorResult<T>> {
    let settle = (): void => {}
    const inFlight = this.#inFlight = new Promise<void>((resolve) => { settle = resolve })
    try {
      const bytes = await decompressPayload(message, this.#settings)
      return { value: project(bytes, message), done: false }
    } catch (error) {
      const reason = RpcError.from(error)
      this.discard()
      this.#error ??= reason
      this.#onCorrupt(reason)
      throw reason
    } finally {
      if (this.#inFlight === inFlight) this.#inFlight = undefined
      settle()
    }
  }
}
