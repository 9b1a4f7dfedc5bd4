/**
 * What a handler is told about the call it serves: the counterpart of Go's context.
 */
import type { FastifyRequest } from 'fastify'
import type { Metadata, MetadataInit } from '../lib/metadata.js'
import type { Logger } from './logger.js'

/** The connection a call came in on, as handlers see it. */
export interface ConnectionView {
  /** Number of the connection, counted from 1 in each server. */
  readonly id: number
  /** Address of the peer, where the transport knows it. */
  readonly remoteAddress: string | undefined
  /** Whether no new sessions are taken. */
  readonly isDraining: boolean
  /** The protocol's minor version agreed with the peer. */
  readonly minor: 0 | 1 | undefined
  /** Ends the connection and everything on it. */
  close (): Promise<void>
}

/** What is known of a call when its Open is answered: nothing runs yet that could be aborted or could end. */
export type OpenContext = Omit<HandlerContext, 'reqID' | 'signal' | 'deadline' | 'setTrailer' | 'trailer'>

export interface HandlerContext {
  /** Names and kind of the RPC, as in HandlerInfo. */
  readonly package: string
  readonly service: string
  readonly call: string
  /** The RpcType. */
  readonly type: number
  /** The session's number on its connection. */
  readonly session: number
  /** The request's number within a synchronous session; 0 on streams. */
  readonly reqID: number
  /**
   * Aborted when nobody waits for the outcome any more: the caller cancelled or closed, the deadline
   * passed, the connection was lost or the server's shutdown is out of patience. `signal.reason` is an
   * RpcError that says which.
   */
  readonly signal: AbortSignal
  /** When the outcome must be known; undefined when the caller set no deadline and the server has no cap. */
  readonly deadline: Date | undefined
  /** What the caller sent with the Open and, on synchronous sessions, with the request (which wins). */
  readonly metadata: Metadata
  /** Address of the peer, where the transport knows it. */
  readonly remoteAddress: string | undefined
  readonly connection: ConnectionView
  /**
   * The upgrade request: user, session, cookies, params, whatever the app's hooks put there.
   * @throws a TypeError with code CLAW_ERR_ARGUMENT_INVALID when the engine is used without Fastify.
   */
  readonly request: FastifyRequest
  /** A child of the upgrade request's logger with the RPC's names and session; silent without Fastify. */
  readonly log: Logger
  /** The trace context of the Open: 16 and 8 bytes, or empty. */
  readonly traceID: Uint8Array
  readonly spanID: Uint8Array
  /** Metadata for the end of the call: with the answer of a synchronous request, with the Close of a stream. Merges. */
  setTrailer (metadata: MetadataInit): void
  /** What setTrailer has gathered. */
  readonly trailer: Metadata
}
