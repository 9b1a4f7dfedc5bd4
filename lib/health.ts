/**
 * The health service of Claw (protocol 1.0, section 2.5): `health/Health/Check`, synchronous, tells a
 * client (or a load balancer) whether the server, or one service of it, takes calls.
 */
import { Category, RpcError } from './errors.js'
import { SyncHandler } from './server/handlers.js'
import type { Server } from './server/server.js'
import { HEALTH_CHECK_REQUEST, HEALTH_CHECK_RESPONSE, ServingStatus } from './wire/service-schema.js'
import { decodeStruct } from './wire/struct-reader.js'
import { encodeStruct } from './wire/struct-writer.js'

/** The statuses that `health/Health/Check` answers with. */
export class Health {
  readonly #server: Server
  readonly #statuses = new Map<string, ServingStatus>()

  /** Registers the service. @throws CLAW_ERR_HANDLER_EXISTS when it is registered already. */
  constructor (server: Server) {
    this.#server = server
    server.register('health', 'Health', 'Check', new SyncHandler((_context, request) => encodeStruct(HEALTH_CHECK_RESPONSE, { status: this.check(serviceOf(request)) })))
  }

  /**
   * Says how a service is, by any name that clients ask for; `''` stands for the whole server. While the
   * server drains it is NotServing whatever was said.
   */
  setStatus (service: string, status: ServingStatus): void { this.#statuses.set(service, status) }

  /** What a client would be told: what was said, Serving for a service that has handlers (`package.Service`), otherwise ServiceUnknown. */
  check (service = ''): ServingStatus {
    if (this.#server.isDraining) return ServingStatus.NotServing
    const status = this.#statuses.get(service)
    if (status !== undefined) return status
    if (service === '') return ServingStatus.Serving
    for (const info of this.#server.registry.handlers()) {
      if (service === `${info.package}.${info.service}` || service === `${info.package}/${info.service}`) return ServingStatus.Serving
    }
    return ServingStatus.ServiceUnknown
  }
}

function serviceOf (request: Uint8Array): string {
  // An empty payload is what a client without a codec sends: it means the whole server.
  if (request.byteLength === 0) return ''
  try {
    return decodeStruct(HEALTH_CHECK_REQUEST, request).service
  } catch (cause) {
    throw new RpcError(Category.InvalidArgument, 'not a HealthCheckRequest', { cause })
  }
}
