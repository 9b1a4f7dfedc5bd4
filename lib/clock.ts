/**
 * The real clock: monotonic time, timers that keep no process alive, and the end of the turn. Knows the globals of a
 * browser only; what Node has beyond them is looked for at run time. Tests inject a clock of their own instead.
 */
import type { Clock, Timer } from '../types/clock.js'

/** Beyond this setTimeout overflows and fires at once; a longer timer is a chain of shorter ones. */
const LONGEST_TIMEOUT_MS = 0x7fffffff

/** A timer over setTimeout that may be longer than setTimeout allows. */
class SystemTimer implements Timer {
  readonly #fire: () => void
  #remainingMs: number
  #handle: ReturnType<typeof setTimeout> | undefined

  constructor (ms: number, fire: () => void) {
    this.#remainingMs = ms
    this.#fire = fire
    this.#arm()
  }

  stop (): void {
    clearTimeout(this.#handle)
    this.#handle = undefined
  }

  #arm (): void {
    const ms = Math.min(this.#remainingMs, LONGEST_TIMEOUT_MS)
    this.#remainingMs -= ms
    this.#handle = setTimeout(this.#elapse, ms)
    const handle = this.#handle as unknown as { unref?: () => void } // a number in browsers
    handle.unref?.()
  }

  readonly #elapse = (): void => {
    this.#handle = undefined
    if (this.#remainingMs > 0) this.#arm()
    else this.#fire()
  }
}

const noop = (): void => {}

/**
 * What runs a callback after all microtasks.
 *
 * Node: a tick queued from a microtask. Node empties its tick queue before its microtasks, and the tick queue again
 * after them; from inside a microtask `nextTick` therefore means: when no promise continuation is left, however deep
 * the chain, and before the event loop turns to another socket. It costs no turn of the loop, unlike setImmediate,
 * and nothing of it outlives the turn, so it can keep no process alive.
 *
 * Browsers: a task through a MessageChannel. A number of microtask hops would be a guess at the depth of other
 * people's promise chains, and one hop too few costs a frame and a system call of its own; the task comes after all
 * of them, within microseconds, and unlike a timer is neither clamped to 4 ms nor slowed in hidden tabs.
 */
function findEndOfTurn (): (run: () => void) => void {
  const { process: host } = globalThis as { process?: { nextTick?: (run: () => void) => void } }
  const nextTick = host?.nextTick
  // Not queueMicrotask: Node's makes an AsyncResource each time, which costs more than the rest.
  const microtask = Promise.resolve()
  if (nextTick !== undefined) return run => { microtask.then(() => { nextTick(run) }, noop) }
  if (typeof MessageChannel !== 'function') return run => { setTimeout(run, 0) }

  let channel: MessageChannel | undefined // made on first use: an import has no effects
  const waiting: (() => void)[] = []
  return run => {
    if (channel === undefined) {
      channel = new MessageChannel()
      channel.port1.onmessage = () => { waiting.shift()?.() } // one task for each, so that one that throws stops no other
    }
    waiting.push(run)
    channel.port2.postMessage(undefined)
  }
}

let endOfTurn: ((run: () => void) => void) | undefined

/** The clock of the machine; the default everywhere a clock may be given. */
export const systemClock: Clock = {
  now: () => performance.now(),
  timer: (ms, fire) => new SystemTimer(ms, fire),
  endOfTurn (run) {
    endOfTurn ??= findEndOfTurn()
    endOfTurn(run)
  }
}
