/** A sink that remembers what it was told, and a writer that remembers which `done` came. Wait on both, never sleep. */
import type { Transport, TransportSink } from '../../types/transport.js'

abstract class Waitable {
  #waiting: { check: () => boolean, resolve: () => void }[] = []

  /** Resolves when the check holds, looked at after every event. */
  until (check: () => boolean): Promise<void> {
    return new Promise(resolve => {
      if (check()) resolve()
      else this.#waiting.push({ check, resolve })
    })
  }

  protected changed (): void {
    this.#waiting = this.#waiting.filter(({ check, resolve }) => {
      if (!check()) return true
      resolve()
      return false
    })
  }
}

export class Recorder extends Waitable implements TransportSink {
  chunks: Uint8Array[] = []
  bytes = 0
  closes: (Error | undefined)[] = []
  alive = 0
  /** Called with each chunk, for tests that act from inside. */
  whenData: (chunk: Uint8Array) => void = () => {}

  onData (chunk: Uint8Array): void {
    this.chunks.push(chunk)
    this.bytes += chunk.length
    this.whenData(chunk)
    this.changed()
  }

  onClose (error?: Error): void {
    this.closes.push(error)
    this.changed()
  }

  onAlive (): void {
    this.alive++
    this.changed()
  }

  received (bytes: number): Promise<void> {
    return this.until(() => this.bytes >= bytes)
  }

  closed (): Promise<void> {
    return this.until(() => this.closes.length > 0)
  }

  content (): Buffer {
    return Buffer.concat(this.chunks)
  }
}

export class Writer extends Waitable {
  readonly #transport: Transport
  /** For each write: how often `done` was called. */
  done: number[] = []
  /** The order in which they came. */
  order: number[] = []
  /** How many were called inside `write`, which must never happen. */
  synchronous = 0

  constructor (transport: Transport) {
    super()
    this.#transport = transport
  }

  write (chunk: Uint8Array): void {
    const index = this.done.push(0) - 1
    let isInside = true
    this.#transport.write(chunk, () => {
      if (isInside) this.synchronous++
      this.done[index] = (this.done[index] ?? 0) + 1
      this.order.push(index)
      this.changed()
    })
    isInside = false
  }

  /** Every write so far is settled. */
  settled (): Promise<void> {
    return this.until(() => this.order.length >= this.done.length)
  }

  /** Each `done` came once, in order and never inside `write`. */
  get isClean (): boolean {
    return this.synchronous === 0 && this.done.every(count => count === 1) && this.order.every((index, at) => index === at)
  }
}

/** Lets the event loop turn until nothing has changed for a while, measured in turns. */
export async function quiet (value: () => number, turns = 200): Promise<void> {
  let last = value()
  for (let still = 0; still < turns; still++) {
    await new Promise(resolve => setImmediate(resolve))
    if (value() === last) continue
    last = value()
    still = 0
  }
}

/** Bytes of which no two neighbours at any power of two look alike. */
export function pattern (length: number, start = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = Math.imul(start + i, 2654435761) >>> 24
  return bytes
}
