/** One message in the line of an outbox. */
import type { RpcError } from '../errors.js'
import type { MetadataEntry } from '../metadata.js'
import { FRAME_COST_OVERHEAD } from './flow-control.js'

const noop = (): void => {}

/** A class, so that all have one shape. */
export class Outgoing {
  readonly reqID: number
  bytes: Uint8Array
  offset = 0
  readonly endStream: boolean
  compression = 0
  readonly metadata: readonly MetadataEntry[]
  /** What it counts against the bound on what waits: its bytes before compression, and what a queued message takes beside them. */
  readonly weight: number
  readonly deadlineAt: number | undefined
  /** Set instead of content: this request failed. */
  readonly failure: RpcError | undefined
  /** False while its compression runs. */
  ready = true
  sent: () => void = noop
  failed: (error: Error) => void = noop

  constructor (bytes: Uint8Array, reqID: number, endStream: boolean, metadata: readonly MetadataEntry[], deadlineAt: number | undefined, failure?: RpcError) {
    this.bytes = bytes
    this.reqID = reqID
    this.endStream = endStream
    this.metadata = metadata
    this.weight = weightOf(bytes)
    this.deadlineAt = deadlineAt
    this.failure = failure
  }
}

/** What one message counts against the bound on what waits. */
export function weightOf (bytes: Uint8Array): number { return bytes.byteLength + FRAME_COST_OVERHEAD }
