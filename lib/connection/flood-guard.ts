/** Counts a peer's frames that cost it nothing and this side work. WindowUpdates and late frames are not counted. */
import { Category, ProtocolError } from '../errors.js'

/** Most such frames in one span that count as honest. */
const MAX_CONTROL_FRAMES = 10_000
const CONTROL_FRAME_SPAN_MS = 10_000

export class FloodGuard {
  #frames = 0
  #spanStart: number

  /** @param now clock milliseconds. */
  constructor (now: number) { this.#spanStart = now }

  /** One more. @throws ProtocolError for one too many. */
  count (): void {
    if (++this.#frames <= MAX_CONTROL_FRAMES) return
    this.#frames = 0
    throw new ProtocolError('too many control frames', { category: Category.ResourceExhausted })
  }

  /** Begins a new span when the old one is over. */
  sweep (now: number): void {
    if (now - this.#spanStart < CONTROL_FRAME_SPAN_MS) return
    this.#spanStart = now
    this.#frames = 0
  }
}
