/**
 * What `app.rpc` is: the engine as seen from one encapsulation scope. Handlers are known to the whole server,
 * interceptors hold for the scope they were added in and for those below, as Fastify's hooks do. Knows no WebSocket.
 */
import type { FastifyInstance } from 'fastify'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import { ErrorCode } from '../errors.js'
import type { Health } from '../health.js'
import type { Handler } from '../server/handlers.js'
import { misuse } from '../server/misuse.js'
import type { InterceptorSource, Registry } from '../server/registry.js'
import type { Server, ServerStats } from '../server/server.js'

/** Counts every addition in any scope of one instance, so that a scope knows when what it remembers is old. */
interface Edition { number: number }

/** The interceptors that hold in one scope: those of the scopes around it first. */
class ScopeInterceptors implements InterceptorSource {
  readonly #parent: ScopeInterceptors | undefined
  readonly #edition: Edition
  readonly #ownUnary: UnaryServerInterceptor[] = []
  readonly #ownStream: StreamServerInterceptor[] = []
  #unary: readonly UnaryServerInterceptor[] = []
  #stream: readonly StreamServerInterceptor[] = []
  /** The edition that `#unary` and `#stream` are of. */
  #gathered = 0

  constructor (parent: ScopeInterceptors | undefined, edition: Edition) {
    this.#parent = parent
    this.#edition = edition
    this.#gather()
  }

  addUnary (interceptors: readonly UnaryServerInterceptor[]): void {
    this.#ownUnary.push(...interceptors)
    this.#edition.number++
  }

  addStream (interceptors: readonly StreamServerInterceptor[]): void {
    this.#ownStream.push(...interceptors)
    this.#edition.number++
  }

  unary (): readonly UnaryServerInterceptor[] {
    this.#gather()
    return this.#unary
  }

  stream (): readonly StreamServerInterceptor[] {
    this.#gather()
    return this.#stream
  }

  /** Every call asks, additions are few: the lists are put together once for each edition. */
  #gather (): void {
    if (this.#gathered === this.#edition.number) return
    this.#gathered = this.#edition.number
    this.#unary = [...this.#parent?.unary() ?? [], ...this.#ownUnary]
    this.#stream = [...this.#parent?.stream() ?? [], ...this.#ownStream]
  }
}

/** `app.rpc`. Each encapsulation scope has its own, which knows the scopes around it. */
export class RpcScope {
  /** The engine itself. */
  readonly server: Server
  /** The statuses of the health service; undefined unless the option `health` is on. */
  readonly health: Health | undefined
  readonly #app: FastifyInstance
  readonly #interceptors: ScopeInterceptors

  /** @internal made by {@link RpcScopes} */
  constructor (server: Server, app: FastifyInstance, interceptors: ScopeInterceptors, health: Health | undefined) {
    this.server = server
    this.health = health
    this.#app = app
    this.#interceptors = interceptors
  }

  /** Every handler of the server, whatever scope it was registered in. */
  get registry (): Registry { return this.server.registry }

  /** Whether `app.close()` has begun: no connection and no session is taken any more. */
  get isDraining (): boolean { return this.server.isDraining }

  /** The server's figures of now and since it was made. */
  stats (): ServerStats { return this.server.stats() }

  /**
   * Makes a handler known. Interceptors of this scope and of those around it stand before it, also those added later.
   * @throws CLAW_ERR_HANDLER_EXISTS, CLAW_ERR_ARGUMENT_INVALID, and CLAW_ERR_ALREADY_LISTENING once the app listens.
   */
  register (pkg: string, service: string, call: string, handler: Handler): this {
    this.#mustNotListen('a handler')
    this.server.register(pkg, service, call, handler, this.#interceptors)
    return this
  }

  /**
   * Adds interceptors of synchronous RPCs that are registered in this scope or below, outermost first: inside those of
   * the option `unaryInterceptors`, of the scopes around this one and those added before.
   * @throws CLAW_ERR_ARGUMENT_INVALID, and CLAW_ERR_ALREADY_LISTENING once the app listens.
   */
  addUnaryInterceptor (...interceptors: UnaryServerInterceptor[]): this {
    this.#mustBeFunctions(interceptors)
    this.#interceptors.addUnary(interceptors)
    return this
  }

  /** The same for the three kinds of streams. */
  addStreamInterceptor (...interceptors: StreamServerInterceptor[]): this {
    this.#mustBeFunctions(interceptors)
    this.#interceptors.addStream(interceptors)
    return this
  }

  #mustBeFunctions (interceptors: readonly unknown[]): void {
    this.#mustNotListen('an interceptor')
    if (interceptors.some((interceptor) => typeof interceptor !== 'function')) {
      throw misuse(ErrorCode.ARGUMENT_INVALID, 'an interceptor must be a function')
    }
  }

  #mustNotListen (what: string): void {
    if (this.#app.server.listening) throw misuse(ErrorCode.ALREADY_LISTENING, `${what} must be added before the app listens`)
  }
}

/** The scopes of one instance of the plugin, made when they are first asked for. */
export class RpcScopes {
  readonly #server: Server
  readonly #root: FastifyInstance
  readonly #health: Health | undefined
  readonly #edition: Edition = { number: 0 }
  readonly #scopes = new WeakMap<FastifyInstance, { scope: RpcScope, interceptors: ScopeInterceptors }>()

  /** @param root the scope that the plugin decorates. */
  constructor (server: Server, root: FastifyInstance, health?: Health) {
    this.#server = server
    this.#health = health
    this.#root = root
  }

  /** The scope of a Fastify instance, which is the root or a child of it. */
  of (app: FastifyInstance): RpcScope { return this.#find(app).scope }

  #find (app: FastifyInstance): { scope: RpcScope, interceptors: ScopeInterceptors } {
    let found = this.#scopes.get(app)
    if (found !== undefined) return found
    // A child scope of Fastify has its parent as prototype; that is how decorators are inherited.
    const parent = app === this.#root ? undefined : this.#find(Object.getPrototypeOf(app) as FastifyInstance)
    const interceptors = new ScopeInterceptors(parent?.interceptors, this.#edition)
    found = { scope: new RpcScope(this.#server, app, interceptors, this.#health), interceptors }
    this.#scopes.set(app, found)
    return found
  }
}
