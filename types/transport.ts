/**
 * What the engine needs of a connection to a peer: one reliable, ordered, full-duplex stream of bytes.
 * Implementations are in lib/transport; a user may bring another one.
 */

/** What a transport reports. Implemented by the engine's connection. */
export interface TransportSink {
  /**
   * Bytes arrived, any amount: part of a frame or many frames. The chunk belongs to the sink from now on;
   * the transport must never write into it again. Must not throw.
   */
  onData (chunk: Uint8Array): void
  /**
   * The stream ended and nothing more will be reported. `error` is absent after an orderly end. Called
   * once, also after `close` and `destroy`.
   */
  onClose (error?: Error): void
  /** Anything at all arrived that shows the peer alive but is no data (a WebSocket pong). */
  onAlive? (): void
}

/** Why a transport is closed; the numbers are WebSocket close codes, other transports ignore them. */
export const CloseCode = {
  Normal: 1000,
  GoingAway: 1001,
  ProtocolError: 1002,
  UnsupportedData: 1003,
  PolicyViolation: 1008,
  InternalError: 1011,
  TryAgainLater: 1013
} as const
export type CloseCode = typeof CloseCode[keyof typeof CloseCode]

/** A byte stream to one peer. */
export interface Transport {
  /** Address of the peer for logs and handlers, where the transport knows it. */
  readonly remoteAddress?: string | undefined
  /**
   * Starts delivering to the sink. Called once and synchronously after the transport was handed over;
   * bytes that arrived before are delivered first. May call the sink during the call.
   */
  start (sink: TransportSink): void
  /**
   * Sends the chunk as one write. `done` is called exactly once, when the chunk was handed to the network
   * (never synchronously inside write) or will never be: until then its memory belongs to the transport
   * and its bytes count as unsent. Must not throw; after the end it only calls `done`.
   */
  write (chunk: Uint8Array, done: () => void): void
  /** Stops delivering data; what is on its way in this turn may still arrive. */
  pause (): void
  /** Delivers data again after `pause`. */
  resume (): void
  /** Sends what was written, then ends the stream in an orderly way. The peer may still be slow to agree. */
  close (code?: CloseCode, reason?: string): void
  /** Ends the stream now; unsent bytes are lost. */
  destroy (error?: Error): void
  /** Asks the peer for a sign of life that any peer of this transport answers by itself (a WebSocket ping). */
  ping? (): void
}
