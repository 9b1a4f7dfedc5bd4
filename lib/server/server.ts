/**
 * The engine: a registry of handlers and the connections they are served on. Usable without Fastify over
 * any transport; the plugin is one of its users. The counterpart of Go's `Server`.
 */
import type { FastifyRequest } from 'fastify'
import type { Clock, Timer } from '../../types/clock.js'
import type { Logger } from '../../types/logger.js'
import type { ServerOptions } from '../../types/options.js'
import type { Transport } from '../../types/transport.js'
import { CloseCode } from '../../types/transport.js'
import { systemClock } from '../clock.js'
import { nodeCompressors } from '../compression/node.js'
import { nodeGzip } from '../compression/node-gzip.js'
import { CompressorRegistry } from '../compression/registry.js'
import { snappy } from '../compression/snappy.js'
import type { ConnectionSettings } from '../connection/settings.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import { SERVER_OPTIONS, resolveOptions } from '../options.js'
import type { Resolved } from '../options.js'
import { Compression } from '../wire/message.js'
import type { Handler } from './handlers.js'
import { misuse } from './misuse.js'
import { Registry } from './registry.js'
import type { InterceptorSource } from './registry.js'
import { RunPool } from './run-pool.js'
import { ServerConn } from './server-conn.js'
import { Observer } from './observer.js'
import type { CallServices } from './services.js'
import { recognized, silentLogger } from './silent-logger.js'

/** How often everything that depends on time is looked after, milliseconds. One timer for all connections. */
const SWEEP_MS = 1000

/** What may be said about one connection. */
export interface ServeOptions {
  /** Ends the connection at once when it aborts. */
  signal?: AbortSignal
  /** The upgrade request, for handlers. */
  request?: FastifyRequest
  /** Logger of the connection; silent when absent. */
  log?: Logger
}

/** What `shutdown` and `gracefulClose` take. */
export interface ShutdownOptions {
  /** When it aborts, what still runs is ended. Without one the wait has no end. */
  signal?: AbortSignal
}

/** For tests and for the plugin: what a server otherwise finds for itself. */
export interface ServerInternals {
  readonly clock?: Clock
  readonly compressors?: CompressorRegistry
  /** Whether the process is overloaded, asked at every Open. */
  readonly overload?: () => RpcError | undefined
}

/** What `stats` answers. Totals count since the server was made. */
export interface ServerStats {
  readonly connections: number
  readonly connectionsTotal: number
  readonly sessions: number
  /** Handlers that run. */
  readonly running: number
  /** Calls that wait for a place. */
  readonly queued: number
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly callsStarted: number
  readonly callsEnded: number
  /** Ended calls by the name of their category; `OK` for those that went well. */
  readonly callsByCategory: Readonly<Record<string, number>>
}

export class Server {
  /** The handlers, for reflection. */
  readonly registry = new Registry()
  readonly options: Resolved<ServerOptions>
  #isDraining = false
  #lastConnection = 0
  #sweepTimer: Timer | undefined
  /** Bytes of connections that are over. */
  readonly #endedBytes = { received: 0, sent: 0 }
  readonly #clock: Clock
  readonly #connections = new Set<ServerConn>()
  readonly #observer: Observer
  readonly #services: CallServices
  readonly #settings: ConnectionSettings
  readonly #overload: () => RpcError | undefined

  /**
   * Knows gzip and snappy, and what `compressors` brings; see `create` for zstd.
   * @throws CLAW_ERR_OPTION_INVALID
   */
  constructor (options: ServerOptions = {}, internals: ServerInternals = {}) {
    this.options = resolveOptions<ServerOptions>(SERVER_OPTIONS, options, (message) => misuse(ErrorCode.OPTION_INVALID, message))
    this.#clock = internals.clock ?? systemClock
    this.#overload = internals.overload ?? (() => undefined)
    const compressors = internals.compressors ?? new CompressorRegistry([nodeGzip(), snappy()])
    for (const compressor of this.options.compressors) compressors.register(compressor, { replace: true })
    this.#settings = settingsOf(this.options, compressors)
    this.#observer = new Observer(this.#clock, this.options.logCalls)
    this.#services = {
      clock: this.#clock,
      pool: new RunPool(this.options.maxConcurrentRPCs, this.options.maxQueuedRPCs),
      observer: this.#observer,
      decompress: this.#settings,
      maxDeadlineMs: this.options.maxDeadlineMs,
      unaryInterceptors: this.options.unaryInterceptors,
      streamInterceptors: this.options.streamInterceptors
    }
  }

  /**
   * Like the constructor, with zstd where there is an implementation of it (node:zlib of Node 22.15 and
   * later, or the package zstd-napi), which can only be looked for asynchronously.
   * @throws CLAW_ERR_OPTION_INVALID, also when zstd is configured and there is none.
   */
  static async create (options: ServerOptions = {}, internals: ServerInternals = {}): Promise<Server> {
    const own = options.compressors?.some((compressor) => compressor.id === Compression.Zstd) === true
    const compressors = internals.compressors ?? await nodeCompressors(options.compression === 'zstd' && !own ? { zstd: true } : {})
    return new Server(options, { ...internals, compressors })
  }

  /** Whether the server is shutting down: no connection and no session is taken any more. */
  get isDraining (): boolean { return this.#isDraining }

  /** The connections of now. */
  get connections (): ReadonlySet<ServerConn> { return this.#connections }

  /**
   * Makes a handler known. May be called while connections are served.
   * @throws CLAW_ERR_HANDLER_EXISTS, CLAW_ERR_ARGUMENT_INVALID
   */
  register (pkg: string, service: string, call: string, handler: Handler, interceptors?: InterceptorSource): void {
    this.registry.register(pkg, service, call, handler, interceptors)
  }

  /** The server's figures of now and since it was made. */
  stats (): ServerStats {
    let { received, sent } = this.#endedBytes
    let sessions = 0
    for (const { connection } of this.#connections) {
      received += connection.receivedBytes
      sent += connection.sentBytes
      sessions += connection.sessionCount
    }
    const { started, ended, byCategory } = this.#observer.calls
    return {
      connections: this.#connections.size,
      connectionsTotal: this.#lastConnection,
      sessions,
      running: this.#services.pool.running,
      queued: this.#services.pool.queued,
      bytesReceived: received,
      bytesSent: sent,
      callsStarted: started,
      callsEnded: ended,
      callsByCategory: byCategory
    }
  }

  /** Why another connection would be refused now; undefined when it would be taken. */
  get refusal (): RpcError | undefined {
    if (this.#isDraining) return new RpcError(Category.Unavailable, 'server closed', { code: ErrorCode.CLOSED })
    const { maxConnections } = this.options
    if (maxConnections !== 0 && this.#connections.size >= maxConnections) {
      return new RpcError(Category.ResourceExhausted, 'too many connections', { code: ErrorCode.TOO_MANY_CONNECTIONS })
    }
    return undefined
  }

  /**
   * Serves one connection. Resolves when it has ended in good order.
   * @throws RpcError CLAW_ERR_CLOSED or CLAW_ERR_TOO_MANY_CONNECTIONS when it is refused (the transport is
   * then destroyed), and what ended the connection when that was a fault or a loss.
   */
  async serve (transport: Transport, options: ServeOptions = {}): Promise<void> {
    const connection = this.connect(transport, options)
    await connection.closed
    if (connection.error !== undefined) throw connection.error
  }

  /** Like `serve`, for those who want the connection itself. Begins to read before it returns. */
  connect (transport: Transport, { signal, request, log = silentLogger }: ServeOptions = {}): ServerConn {
    const { refusal } = this
    if (refusal !== undefined) {
      transport.close(CloseCode.TryAgainLater, refusal.message)
      transport.destroy()
      throw refusal
    }
    const connection = new ServerConn({
      id: ++this.#lastConnection,
      transport,
      registry: this.registry,
      services: this.#services,
      settings: this.#settings,
      request,
      log: recognized(log),
      packing: this.options.packing,
      maxSessions: this.options.maxSessionsPerConnection,
      maxRequests: this.options.maxRequestsPerConnection,
      overload: this.#overload,
      onClosed: this.#handleClosed
    })
    this.#connections.add(connection)
    this.#sweepTimer ??= this.#clock.timer(SWEEP_MS, this.#sweep)
    this.#observer.connectionStarted(connection)
    connection.connection.start()
    if (signal !== undefined) destroyOnAbort(connection, signal)
    return connection
  }

  /**
   * Takes no new connections and sessions, tells every client to go elsewhere, waits for what runs, then
   * closes all connections. When the signal aborts first, what still runs is told Unavailable.
   * @returns whether everything that ran could finish. May be called more than once.
   */
  async shutdown ({ signal }: ShutdownOptions = {}): Promise<boolean> {
    this.#isDraining = true
    const options = signal === undefined ? {} : { signal }
    const finished = await Promise.all([...this.#connections].map((connection) => connection.gracefulClose(options)))
    return finished.every(Boolean)
  }

  readonly #handleClosed = (connection: ServerConn, error: RpcError | undefined): void => {
    this.#connections.delete(connection)
    this.#endedBytes.received += connection.connection.receivedBytes
    this.#endedBytes.sent += connection.connection.sentBytes
    this.#observer.connectionEnded(connection, error)
    if (error === undefined) connection.log.debug('RPC connection ended')
    else connection.log.info({ err: error }, 'RPC connection ended')
    if (this.#connections.size > 0) return
    this.#sweepTimer?.stop()
    this.#sweepTimer = undefined
  }

  readonly #sweep = (): void => {
    this.#sweepTimer = this.#clock.timer(SWEEP_MS, this.#sweep)
    const now = this.#clock.now()
    for (const connection of this.#connections) connection.sweep(now, this.options)
  }
}

function destroyOnAbort (connection: ServerConn, signal: AbortSignal): void {
  const destroy = (): void => { connection.connection.destroy(new RpcError(Category.Unavailable, 'serving was aborted', { code: ErrorCode.CLOSED, cause: signal.reason })) }
  if (signal.aborted) return destroy()
  signal.addEventListener('abort', destroy, { once: true })
  connection.closed.then(() => { signal.removeEventListener('abort', destroy) }, () => {})
}

function settingsOf (options: Resolved<ServerOptions>, compressors: CompressorRegistry): ConnectionSettings {
  const compression = { none: Compression.None, gzip: Compression.Gzip, snappy: Compression.Snappy, zstd: Compression.Zstd }[options.compression]
  if (compression !== Compression.None && compressors.get(compression) === undefined) {
    throw misuse(ErrorCode.OPTION_INVALID, `compression ${options.compression} is not available here`)
  }
  return { ...options, minor: options.minorVersion, compression, compressors }
}
