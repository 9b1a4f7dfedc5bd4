/**
 * What OpenTelemetry's semantic conventions for RPC say, version 1.45, in which they became stable: the names,
 * the buckets, and which outcomes are errors. The rule about outcomes is that of gRPC, whose status codes
 * Claw's categories are. https://github.com/open-telemetry/semantic-conventions/blob/v1.45.0/docs/rpc
 */
import { Category } from '../errors.js'

/** The schema that the names below are of. */
export const SCHEMA_URL = 'https://opentelemetry.io/schemas/1.45.0'

/** Value of `rpc.system.name`. */
export const SYSTEM_NAME = 'claw'

/** Attributes of spans and measurements. */
export const Attribute = {
  SYSTEM_NAME: 'rpc.system.name',
  METHOD: 'rpc.method',
  /** `rpc.response.status_code` until 1.44. */
  STATUS_CODE: 'rpc.status_code',
  ERROR_TYPE: 'error.type',
  SERVER_ADDRESS: 'server.address',
  SERVER_PORT: 'server.port',
  CLIENT_ADDRESS: 'client.address'
} as const

/** Histograms of how long calls take. */
export const DurationMetric = {
  server: 'rpc.server.call.duration',
  client: 'rpc.client.call.duration'
} as const

/** Bounds of the buckets of both histograms, seconds. */
export const DURATION_BUCKETS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

/** Outcomes that are the server's fault. What remains is the caller's own, and no error of the server. */
const SERVER_ERRORS: ReadonlySet<Category> = new Set([
  Category.Unknown, Category.DeadlineExceeded, Category.Unimplemented, Category.Internal, Category.Unavailable, Category.DataLoss
])

/** Whether an outcome other than OK makes the span an error. For a caller everything does. */
export function isErrorOutcome (role: 'server' | 'client', category: Category): boolean {
  return role === 'client' || SERVER_ERRORS.has(category)
}

/** The fully-qualified name of an RPC: `package.Service/Call`, which is also the name of its spans. */
export function methodName (rpc: { readonly package: string, readonly service: string, readonly call: string }): string {
  const service = rpc.package === '' ? rpc.service : `${rpc.package}.${rpc.service}`
  return `${service}/${rpc.call}`
}
