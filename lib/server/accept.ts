/**
 * What an Open must be to become a session: the checks of protocol 1.0, 5.1 and 1.1, sections 2 and 8, in
 * one place, in their order. Pure: it looks, the connection acts.
 */
import { Category, ErrorCode, peerError } from '../errors.js'
import type { RpcError } from '../errors.js'
import { MAX_MESSAGE_METADATA_BYTES, MAX_NAME_BYTES, encodedMetadataBytes, metadataBytes } from '../connection/limits.js'
import { MAX_CHUNK_BYTES } from '../connection/outbox.js'
import { RpcType } from '../wire/message.js'
import type { Open, Payload } from '../wire/message.js'
import type { Registration, Registry } from './registry.js'

const MAX_TRACE_ID_BYTES = 16
const MAX_SPAN_ID_BYTES = 8

/** What the answer depends on beside the Open. */
export interface AcceptState {
  readonly registry: Registry
  /** Reason to take nothing new (draining, overload), if there is one. */
  readonly closed: RpcError | undefined
  readonly isMinor1: boolean
  readonly sessionCount: number
  readonly maxSessions: number
  readonly maxMetadataBytes: number
}

/** The registration that serves the Open, or the refusal to answer it with. */
export function examineOpen (open: Open, state: AcceptState): Registration | RpcError {
  const { descr } = open
  if (state.closed !== undefined) return state.closed
  const names = [descr.package, descr.service, descr.call]
  if (names.some((name) => name.length > MAX_NAME_BYTES)) return invalid(`a name exceeds ${MAX_NAME_BYTES} bytes`, ErrorCode.NAME_TOO_LARGE)
  if (open.traceID.byteLength > MAX_TRACE_ID_BYTES || open.spanID.byteLength > MAX_SPAN_ID_BYTES) return invalid('TraceID or SpanID is too long')
  if (metadataBytes(open.metadata) > state.maxMetadataBytes) {
    return peerError(Category.ResourceExhausted, `metadata exceed ${state.maxMetadataBytes} bytes`, { code: ErrorCode.METADATA_TOO_LARGE })
  }
  const registration = state.registry.lookupByDescr(descr)
  if (registration === undefined) return peerError(Category.Unimplemented, 'no handler registered', { code: ErrorCode.NO_HANDLER })
  if (registration.type !== descr.type) return invalid('RPC type mismatch', ErrorCode.TYPE_MISMATCH)
  if (state.isMinor1 && open.first !== undefined) {
    const refusal = examineFirst(open.first, registration.type)
    if (refusal !== undefined) return refusal
  }
  if (state.maxSessions !== 0 && state.sessionCount >= state.maxSessions) {
    return peerError(Category.ResourceExhausted, `more than ${state.maxSessions} sessions on one connection`, { code: ErrorCode.TOO_MANY_SESSIONS })
  }
  return registration
}

function examineFirst (first: Payload, type: RpcType): RpcError | undefined {
  if (first.sessionID !== 0 || first.more || first.errCode !== 0) return invalid('First has a field that it must not have')
  if (type === RpcType.Synchronous && first.reqID === 0) return invalid('First of a synchronous session has no ReqID')
  if (first.payload.byteLength > MAX_CHUNK_BYTES) {
    return peerError(Category.ResourceExhausted, `First exceeds ${MAX_CHUNK_BYTES} bytes`, { code: ErrorCode.MESSAGE_TOO_LARGE })
  }
  if (encodedMetadataBytes(first.metadata) > MAX_MESSAGE_METADATA_BYTES) {
    return peerError(Category.ResourceExhausted, `metadata of First exceed ${MAX_MESSAGE_METADATA_BYTES} bytes`, { code: ErrorCode.METADATA_TOO_LARGE })
  }
  return undefined
}

function invalid (text: string, code?: ErrorCode): RpcError {
  return peerError(Category.InvalidArgument, text, code === undefined ? {} : { code })
}
