/**
 * The three kinds of error: RpcError (the outcome of one call, the only kind that handlers and callers
 * meet), ProtocolError (the peer broke the rules; says what that costs and what to answer) and the codes
 * both share. A leaf; misuse of the API by the program itself is in server/misuse.ts and client/misuse.ts.
 */
import { Metadata } from './metadata.js'
import type { MetadataInit } from './metadata.js'

/**
 * The category of an RPC's outcome. Names are gRPC's, numbers are the ErrCode of the wire (protocol 1.0,
 * section 6) and the same as gRPC's.
 */
export const Category = {
  /** Success; never the category of an error. */
  OK: 0,
  /** The caller, or the loss of the caller, ended the call. */
  Canceled: 1,
  /** Reserved by the wire; what a peer sends with a number this version does not know. */
  Unknown: 2,
  /** The request is wrong whatever the state of the server. */
  InvalidArgument: 3,
  /** The deadline passed before the outcome was known. */
  DeadlineExceeded: 4,
  /** What the request names does not exist. */
  NotFound: 5,
  /** What the request wants to make exists. */
  AlreadyExists: 6,
  /** The caller is known and may not do this. */
  PermissionDenied: 7,
  /** A limit or quota is used up. */
  ResourceExhausted: 8,
  /** The state of the server does not allow it; do not retry unchanged. */
  FailedPrecondition: 9,
  /** A conflict; retry at a higher level. */
  Aborted: 10,
  /** Past the valid range. */
  OutOfRange: 11,
  /** No such RPC, or a feature that is not there. */
  Unimplemented: 12,
  /** The server broke; the text is generic on purpose. */
  Internal: 13,
  /** Not now: draining, lost connection, refused. May be retried elsewhere. */
  Unavailable: 14,
  /** Data were lost or cut. */
  DataLoss: 15,
  /** The caller did not say who it is, or not convincingly. */
  Unauthenticated: 16
} as const

/** One of the numbers of {@link Category}. */
export type Category = typeof Category[keyof typeof Category]

const CATEGORY_NAMES = Object.keys(Category) as (keyof typeof Category)[]

/** The name of a category, `Unknown` for numbers that are none. */
export function categoryName (category: number): keyof typeof Category {
  return CATEGORY_NAMES[category] ?? 'Unknown'
}

/** The category for an ErrCode of the wire; numbers beyond the known ones become Unknown. */
export function categoryFromCode (code: number): Category {
  return code < CATEGORY_NAMES.length ? code as Category : Category.Unknown
}

/**
 * Stable codes of everything that this package itself reports. An error that a handler made without a
 * code, and every error that came from the peer, has the code of its category: `CLAW_ERR_` and the
 * category's name in capitals (`CLAW_ERR_NOT_FOUND`). docs/errors.md has a line for each.
 */
export const ErrorCode = {
  /** The server, connection or client is closed or draining. */
  CLOSED: 'CLAW_ERR_CLOSED',
  /** The session has ended; nothing more can be sent on it. */
  SESSION_CLOSED: 'CLAW_ERR_SESSION_CLOSED',
  /** A message is larger than a limit of either side. */
  MESSAGE_TOO_LARGE: 'CLAW_ERR_MESSAGE_TOO_LARGE',
  /** `maxConnections` is reached. */
  TOO_MANY_CONNECTIONS: 'CLAW_ERR_TOO_MANY_CONNECTIONS',
  /** `maxSessionsPerConnection` is reached. */
  TOO_MANY_SESSIONS: 'CLAW_ERR_TOO_MANY_SESSIONS',
  /** `maxQueuedRPCs` is reached. */
  TOO_MANY_QUEUED: 'CLAW_ERR_TOO_MANY_QUEUED',
  /** The RPC has a handler already. */
  HANDLER_EXISTS: 'CLAW_ERR_HANDLER_EXISTS',
  /** No handler is registered under this package, service and call. */
  NO_HANDLER: 'CLAW_ERR_NO_HANDLER',
  /** The handler is of another RPC kind than the Open says. */
  TYPE_MISMATCH: 'CLAW_ERR_TYPE_MISMATCH',
  /** The peer speaks another major version. */
  VERSION_MISMATCH: 'CLAW_ERR_VERSION_MISMATCH',
  /** Metadata exceed `maxMetadataBytes`. */
  METADATA_TOO_LARGE: 'CLAW_ERR_METADATA_TOO_LARGE',
  /** A package, service or call name exceeds 1 KiB. */
  NAME_TOO_LARGE: 'CLAW_ERR_NAME_TOO_LARGE',
  /** More messages were sent without waiting than the send queue holds. */
  SEND_QUEUE_FULL: 'CLAW_ERR_SEND_QUEUE_FULL',
  /** `send` after the sending half was ended. */
  SEND_AFTER_END: 'CLAW_ERR_SEND_AFTER_END',
  /** The peer stopped reading for longer than allowed. */
  SLOW_READER: 'CLAW_ERR_SLOW_READER',
  /** The peer sent more than its credit. */
  FLOW_CONTROL: 'CLAW_ERR_FLOW_CONTROL',
  /** The connection was lost or destroyed while the call was running. */
  CONNECTION_LOST: 'CLAW_ERR_CONNECTION_LOST',
  /** The peer did not answer a ping in time. */
  PING_TIMEOUT: 'CLAW_ERR_PING_TIMEOUT',
  /** The peer neither opened a session nor pinged in `handshakeTimeoutMs`. */
  HANDSHAKE_TIMEOUT: 'CLAW_ERR_HANDSHAKE_TIMEOUT',
  /** The connection had no session for `idleTimeoutMs`. */
  IDLE_TIMEOUT: 'CLAW_ERR_IDLE_TIMEOUT',
  /** The peer's bytes are no message. */
  MALFORMED: 'CLAW_ERR_MALFORMED',
  /** A frame is larger than this side accepts. */
  FRAME_TOO_LARGE: 'CLAW_ERR_FRAME_TOO_LARGE',
  /** The peer broke a rule of the protocol. */
  PROTOCOL: 'CLAW_ERR_PROTOCOL',
  /** A payload names a compression that is not registered here. */
  UNKNOWN_COMPRESSION: 'CLAW_ERR_UNKNOWN_COMPRESSION',
  /** A compressed payload cannot be decompressed. */
  CORRUPT_PAYLOAD: 'CLAW_ERR_CORRUPT_PAYLOAD',
  /** Requests or messages were still missing when the other side said it was done. */
  INCOMPLETE: 'CLAW_ERR_INCOMPLETE',
  /** A page of another origin wanted to connect; HTTP status 403. */
  ORIGIN_REFUSED: 'CLAW_ERR_ORIGIN_REFUSED',
  /** A plain HTTP request came to the URL of the RPC route; HTTP status 426. */
  UPGRADE_REQUIRED: 'CLAW_ERR_UPGRADE_REQUIRED',
  /** The URL could not be connected to. */
  CONNECT_FAILED: 'CLAW_ERR_CONNECT_FAILED',
  /** An option has a value outside its bounds, or is not an option. */
  OPTION_INVALID: 'CLAW_ERR_OPTION_INVALID',
  /** An argument of a call into this package is not what it must be. */
  ARGUMENT_INVALID: 'CLAW_ERR_ARGUMENT_INVALID',
  /** `register` after the app began to listen. */
  ALREADY_LISTENING: 'CLAW_ERR_ALREADY_LISTENING'
} as const

/** One of the strings of {@link ErrorCode}. */
export type ErrorCode = typeof ErrorCode[keyof typeof ErrorCode]

const categoryCodes: string[] = []

/** The stable code of a category: `CLAW_ERR_NOT_FOUND` for NotFound. */
export function categoryErrorCode (category: number): string {
  let code = categoryCodes[category]
  if (code === undefined) {
    code = 'CLAW_ERR_' + categoryName(category).replace(/(?<=[a-z])[A-Z]/g, '_$&').toUpperCase()
    categoryCodes[category] = code
  }
  return code
}

/** What may stand beside category and message. */
export interface RpcErrorOptions {
  /** A stable code for programs; the code of the category when absent. */
  code?: string
  /** Sent as trailers with the error where the RPC kind has them. */
  metadata?: MetadataInit
  /** The error this one stands for. Never crosses the wire. */
  cause?: unknown
}

const brand = Symbol.for('fastify-claw.RpcError')

/**
 * The outcome of a failed RPC: thrown by a handler it goes to the peer with category, message and
 * metadata; a caller gets it back as an RpcError with the same category and text.
 */
export class RpcError extends Error {
  /** What kind of failure it is: the ErrCode of the wire. */
  readonly category: Category
  /** Stable, for programs; see docs/errors.md. */
  readonly code: string
  #metadata: MetadataInit | undefined

  constructor (category: Category, message: string, options: RpcErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    // Category 0 would cross the wire as success (defect D29 of the Go server): an error is never OK.
    this.category = category === Category.OK ? Category.Internal : category
    this.code = options.code ?? categoryErrorCode(this.category)
    this.#metadata = options.metadata
  }

  static { this.prototype.name = 'RpcError' }

  /** @internal survives two copies of the package in one process */
  get [brand] (): true { return true }

  /** Metadata that came or goes with the error; empty when there are none. */
  get metadata (): Metadata {
    const metadata = this.#metadata instanceof Metadata ? this.#metadata : new Metadata(this.#metadata)
    this.#metadata = metadata
    return metadata
  }

  /** Whether the value is an RpcError, also one of another copy of this package. */
  static is (value: unknown): value is RpcError {
    return typeof value === 'object' && value !== null && brand in value
  }

  /**
   * The one door for unknown errors: an RpcError passes, anything else becomes Internal with a generic
   * text, so that nothing of the program's inside crosses the wire; the original is kept as `cause`.
   */
  static from (value: unknown): RpcError {
    if (RpcError.is(value)) return value
    return new RpcError(Category.Internal, 'internal error', { cause: value })
  }
}

/**
 * An error that answers a peer or tells of one. Nobody looks for its place in this code, and to find it out would cost
 * more than all else that a refusal costs: it has no stack.
 */
export function peerError (category: Category, message: string, options: RpcErrorOptions = {}): RpcError {
  const stacks = Error as { stackTraceLimit?: number }
  const { stackTraceLimit } = stacks
  stacks.stackTraceLimit = 0
  const error = new RpcError(category, message, options)
  stacks.stackTraceLimit = stackTraceLimit as number
  return error
}

/** The stream of bytes broke off; what was under way may or may not have arrived. */
export function connectionLost (message: string, cause?: unknown): RpcError {
  return peerError(Category.Unavailable, message, { code: ErrorCode.CONNECTION_LOST, ...(cause !== undefined && { cause }) })
}

/** How much a broken rule costs. */
export type ProtocolErrorScope = 'session' | 'connection'

/** The peer broke the rules of the protocol: what it costs (`scope`) and what the peer is told. */
export class ProtocolError extends Error {
  readonly scope: ProtocolErrorScope
  /** The ErrCode of the Close or GoAway that answers it. */
  readonly category: Category
  readonly code: string

  constructor (message: string, options: { scope?: ProtocolErrorScope, category?: Category, code?: string } = {}) {
    super(message)
    this.scope = options.scope ?? 'connection'
    this.category = options.category ?? Category.Internal
    this.code = options.code ?? ErrorCode.PROTOCOL
  }

  static { this.prototype.name = 'ProtocolError' }
}
