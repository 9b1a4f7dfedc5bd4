/** A plan for a CreditScenario: what both sides are like, which calls there are, and what happens in which order. */
import type { Compressor } from '../../types/compressor.js'
import type { CallPlan, GateName } from './planned-call.js'
import { turn } from './scripted-peer.js'
import type { Piece, Side } from './slow-network.js'

export type Step =
  | { do: 'deliver', from: Side, piece: Piece, times: number }
  | { do: 'flow', turns: number }
  | { do: 'pass', call: number, gate: GateName, times: number }
  | { do: 'advance', ms: number }
  | { do: 'abort', call: number, nth: number }
  | { do: 'endHandler', call: number, how: 'return' | 'throw' }
  /** Everything arrives, and what must hold then is looked at. */
  | { do: 'rest' }

/** Who ends the connection: the client (at once, or after its calls), the server (in good order, in good order until it loses patience, at once), or a fault. */
export type Ending = 'close' | 'drain' | 'shutdown' | 'forcedShutdown' | 'serverClose' | 'cut'

export interface Plan {
  /** Announced by each side. */
  windows: Record<Side, number>
  /** What they may grow to. */
  maxWindows: Record<Side, number>
  /** Reassembly places of the server. */
  places: number
  /** Requests of the connection that run at a time. */
  maxRequests: number
  /** Handlers of the server that run at a time; 0 for no limit. */
  maxRuns: number
  socketBytes: number
  isPacking: boolean
  /** Whether both sides compress, and whether that takes time. */
  compression: 'none' | 'now' | 'later'
  calls: CallPlan[]
  steps: Step[]
  /** When the connection ends: before the step of this number, or when all is over. */
  ending: { how: Ending, at: number }
}

/** Halves what consists of two equal halves: a format that costs no time, or a few turns. */
export class Halving implements Compressor {
  readonly id = 2
  readonly name = 'snappy'
  /** What is not done yet. */
  pending = 0
  readonly #isLate: boolean

  constructor (isLate: boolean) { this.#isLate = isLate }

  compress (bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const half = bytes.byteLength >>> 1
    const isDouble = Buffer.compare(bytes.subarray(0, half), bytes.subarray(half)) === 0
    return this.#answer(isDouble ? bytes.slice(0, half) : bytes)
  }

  decompress (bytes: Uint8Array): Uint8Array | Promise<Uint8Array> { return this.#answer(Buffer.concat([bytes, bytes])) }

  #answer (bytes: Uint8Array): Uint8Array | Promise<Uint8Array> { return this.#isLate ? this.#later(bytes) : bytes }

  async #later (bytes: Uint8Array): Promise<Uint8Array> {
    this.pending++
    for (let turns = bytes.byteLength % 3; turns >= 0; turns--) await turn()
    this.pending--
    return bytes
  }
}
