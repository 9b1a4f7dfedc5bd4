/**
 * What every transport owes its user, kept in one place: `done` once for each write, in the order of the writes, and
 * one `onClose`, after which the sink hears nothing. Knows nothing of how bytes travel.
 */
import type { TransportSink } from '../../types/transport.js'

/** The account of one transport. */
export class Account {
  #sink: TransportSink | undefined
  #owed: (() => void)[] = []
  #error: Error | undefined
  #ended = false
  #reported = false

  /** Whether the end was declared; it may still have to be reported. */
  get ended (): boolean {
    return this.#ended
  }

  /** Who may be told of data now: nobody before `start` and after the end. */
  get sink (): TransportSink | undefined {
    return this.#ended ? undefined : this.#sink
  }

  /** From here on the sink is told. An end that came earlier is reported soon. */
  start (sink: TransportSink): void {
    if (this.#reported) queueMicrotask(() => { sink.onClose(this.#error) })
    else this.#sink = sink
  }

  /** Notes a write that the network has now; `taken` settles them first in, first out. */
  owe (done: () => void): void {
    this.#owed.push(done)
  }

  /**
   * Settles the oldest write. One function for all writes of a transport: no closure for each, and Node calls equal
   * callbacks of writes that finished together in one tick. Harmless when nothing is owed any more.
   */
  readonly taken = (): void => {
    this.#owed.shift()?.()
  }

  /** Settles a write that never happens, because it came after the end. */
  refuse (done: () => void): void {
    queueMicrotask(done)
  }

  /** The stream is over: reports it and settles all writes. Only the first end counts. */
  end (error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#report()
  }

  /** The same when the user itself asked for the end: it is told after its present call has returned. */
  endSoon (error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    queueMicrotask(() => { this.#report() })
  }

  #report (): void {
    const sink = this.#sink
    const owed = this.#owed
    this.#reported = true
    this.#sink = undefined
    this.#owed = []
    sink?.onClose(this.#error)
    for (const done of owed) done()
  }
}
