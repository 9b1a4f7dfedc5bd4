/** Which handler serves which RPC. Names are compared exactly; names with a slash cannot collide. */
import { MAX_NAME_BYTES } from '../connection/limits.js'
import { ErrorCode } from '../errors.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import { RpcType } from '../wire/message.js'
import type { Descr } from '../wire/message.js'
import type { Handler } from './handlers.js'
import { misuse } from './misuse.js'

/** What is known of a registered handler. */
export interface HandlerInfo {
  readonly package: string
  readonly service: string
  readonly call: string
  readonly type: RpcType
}

/** The interceptors of one registration; read when a call starts, so later additions count. */
export interface InterceptorSource {
  unary (): readonly UnaryServerInterceptor[]
  stream (): readonly StreamServerInterceptor[]
}

/** A handler under its names. */
export interface Registration extends HandlerInfo {
  readonly handler: Handler
  readonly interceptors: InterceptorSource | undefined
}

const RPC_TYPES: readonly number[] = Object.values(RpcType)
const encoder = new TextEncoder()

export class Registry {
  readonly #registrations = new Map<string, Registration>()

  /**
   * @throws CLAW_ERR_HANDLER_EXISTS when the RPC has a handler, CLAW_ERR_ARGUMENT_INVALID for a name that
   * is no string of 1 to 1024 bytes (the package may be empty) or a handler that is none.
   */
  register (pkg: string, service: string, call: string, handler: Handler, interceptors?: InterceptorSource): void {
    checkName('package', pkg, 0)
    checkName('service', service, 1)
    checkName('call', call, 1)
    if (!isHandler(handler)) throw misuse(ErrorCode.ARGUMENT_INVALID, 'handler must be a SyncHandler, BiDirHandler, SendHandler or RecvHandler')
    const name = key(pkg, service, call)
    if (this.#registrations.has(name)) throw misuse(ErrorCode.HANDLER_EXISTS, `${pkg}/${service}/${call} has a handler already`)
    this.#registrations.set(name, { package: pkg, service, call, type: handler.type, handler, interceptors })
  }

  /** Every registered handler, in the order of registration. */
  * handlers (): IterableIterator<HandlerInfo> {
    for (const { package: pkg, service, call, type } of this.#registrations.values()) yield { package: pkg, service, call, type }
  }

  /** The registration of an RPC, or undefined. */
  lookup (pkg: string, service: string, call: string): Registration | undefined {
    return this.#registrations.get(key(pkg, service, call))
  }

  /** The registration that an Open names, whatever kind it asks for; the caller compares `type`. */
  lookupByDescr (descr: Pick<Descr, 'package' | 'service' | 'call'>): Registration | undefined {
    return this.lookup(descr.package, descr.service, descr.call)
  }
}

function isHandler (handler: unknown): handler is Handler {
  if (typeof handler !== 'object' || handler === null) return false
  const { type, handle } = handler as Partial<Handler>
  return typeof handle === 'function' && typeof type === 'number' && RPC_TYPES.includes(type)
}

function checkName (what: string, name: unknown, minBytes: number): void {
  const bytes = typeof name === 'string' ? encoder.encode(name).byteLength : -1
  if (bytes < minBytes || bytes > MAX_NAME_BYTES) {
    throw misuse(ErrorCode.ARGUMENT_INVALID, `${what} must be a string of ${minBytes} to ${MAX_NAME_BYTES} bytes`)
  }
}

function key (pkg: string, service: string, call: string): string {
  // The lengths make the key unambiguous whatever the names contain.
  return `${pkg.length}:${service.length}:${pkg}${service}${call}`
}
