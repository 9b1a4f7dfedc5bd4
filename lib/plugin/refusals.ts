/**
 * Why an HTTP request at the route becomes no connection, as errors with a status: they go through the app's error
 * handler like any other, whose default answers `{ statusCode, code, error, message }`.
 */
import createError from '@fastify/error'
import { ErrorCode } from '../errors.js'
import type { RpcError } from '../errors.js'

const OriginRefused = createError<[string]>(ErrorCode.ORIGIN_REFUSED, 'origin %s may not connect', 403)
const UpgradeRequired = createError(ErrorCode.UPGRADE_REQUIRED, 'this URL speaks Claw RPC over WebSocket; connect to it with a Claw client', 426)

/** The page that asks is neither the server's own nor allowed. */
export function originRefused (origin: string): Error {
  return new OriginRefused(origin)
}

/** The server is closing, or full. */
export function serverRefused (refusal: RpcError): Error {
  const Refused = createError<[string]>(refusal.code, '%s', 503)
  return new Refused(refusal.message)
}

/** A plain GET: the error, and the headers that RFC 9110 wants beside it. */
export function upgradeRequired (): { error: Error, headers: Record<string, string> } {
  return { error: new UpgradeRequired(), headers: { connection: 'upgrade', upgrade: 'websocket' } }
}
