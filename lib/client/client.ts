/**
 * A client: one connection to a server and the calls on it. Everything callers see of the package in a
 * browser. Knows no WebSocket: `connect` brings the transport.
 */
import type { Clock, Timer } from '../../types/clock.js'
import type { CallOptions, ClientOptions, StreamClientCall, StreamClientInterceptor } from '../../types/client-options.js'
import type { Transport } from '../../types/transport.js'
import { systemClock } from '../clock.js'
import { compose } from '../call/interceptor.js'
import { CompressorRegistry } from '../compression/registry.js'
import { Connection } from '../connection/connection.js'
import type { ConnectionSettings } from '../connection/settings.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import { Ping, RpcType } from '../wire/message.js'
import { resolveNumbers } from './client-options.js'
import { InterceptedIO, wrap } from './intercepted-io.js'
import { misuse } from './misuse.js'
import { OpenRole } from './open.js'
import { StreamCall } from './stream-call.js'
import type { StreamHost } from './stream-call.js'
import { ClientBiDirStream, ClientRecvStream, ClientSendStream } from './streams.js'
import { SyncMethod } from './sync-method.js'
import type { SyncHost } from './sync-method.js'

const SWEEP_MS = 1000
const RECV_BUFFER_BYTES = 4 * 1024 * 1024
const REASSEMBLY_PLACES = 8
const STALL_TIMEOUT_MS = 60_000
const MESSAGE_TIMEOUT_MS = 30_000

/** Options of a server stream. */
export interface RecvOptions extends CallOptions {
  /** The one message the client may send with the call. */
  request?: Uint8Array
}

export class Client {
  /** Resolves when the connection is over: with why, unless this client closed it in good order. Never rejects. */
  readonly closed: Promise<RpcError | undefined>
  #running = 0
  #closing: RpcError | undefined
  #sweepTimer: Timer | undefined
  #pingSentAt: number | undefined
  #lastPing = 0
  #resolveClosed: (error: RpcError | undefined) => void = () => {}
  /** Those who wait until no call runs. */
  #onIdle: (() => void)[] = []
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #role: OpenRole
  readonly #methods = new Map<string, SyncMethod>()
  readonly #options: ClientOptions
  readonly #numbers: ReturnType<typeof resolveNumbers>
  readonly #syncHost: SyncHost
  readonly #streamHost: StreamHost

  /** @internal use `connect`. @throws TypeError CLAW_ERR_OPTION_INVALID */
  constructor (transport: Transport, options: ClientOptions = {}, clock: Clock = systemClock) {
    const numbers = this.#numbers = resolveNumbers(options)
    this.#options = options
    this.#clock = clock
    this.closed = new Promise((resolve) => { this.#resolveClosed = resolve })
    const settings = settingsOf(numbers, options)
    this.#role = new OpenRole({ packing: options.packing === true, minor: settings.minor, openTimeoutMs: numbers.openTimeoutMs }, {
      goAway: () => { this.#checkIdle() },
      released: () => { this.#checkIdle() },
      closed: (error) => { this.#handleClosed(error) }
    })
    this.#connection = new Connection(transport, this.#role, settings, clock)
    this.#role.attach(this.#connection)
    const onStarted = (): void => { this.#running++ }
    const onEnded = (): void => {
      this.#running--
      this.#checkIdle()
    }
    const shared = { clock, role: this.#role, settings, onStarted, onEnded }
    this.#syncHost = { ...shared, interceptors: options.unaryInterceptors ?? [], minor: () => this.#connection.minor, refusal: () => this.#refusal() }
    this.#streamHost = { ...shared, isMinor1: () => this.#connection.isMinor1 }
    this.#sweepTimer = clock.timer(SWEEP_MS, this.#sweep)
    this.#connection.start()
  }

  /** Whether calls can be made: not closed, and the server has not said that it is going away. */
  get isOpen (): boolean { return this.#refusal() === undefined }

  /** Calls that run now. */
  get running (): number { return this.#running }

  /** The minor version of the protocol agreed with the server; undefined before its first answer. */
  get minor (): 0 | 1 | undefined { return this.#connection.minor }

  /** A synchronous RPC, to be called any number of times. */
  sync (pkg: string, service: string, call: string): SyncMethod {
    const key = `${pkg.length}:${service.length}:${pkg}${service}${call}`
    let method = this.#methods.get(key)
    if (method === undefined) this.#methods.set(key, method = new SyncMethod(this.#syncHost, { package: pkg, service, call }))
    return method
  }

  /** Opens a bidirectional stream. */
  biDir (pkg: string, service: string, call: string, options: CallOptions = {}): ClientBiDirStream {
    return new ClientBiDirStream(this.#stream(RpcType.BiDirectional, pkg, service, call, options))
  }

  /** Opens a client stream. */
  send (pkg: string, service: string, call: string, options: CallOptions = {}): ClientSendStream {
    return new ClientSendStream(this.#stream(RpcType.Send, pkg, service, call, options))
  }

  /** Opens a server stream. Iterate over what it returns. */
  recv (pkg: string, service: string, call: string, options: RecvOptions = {}): ClientRecvStream {
    const stream = this.#stream(RpcType.Recv, pkg, service, call, options)
    stream.sendRequest(options.request)
    return new ClientRecvStream(stream)
  }

  /** Makes no new calls, waits for those that run, then closes. */
  async drain (): Promise<void> {
    this.#closing ??= closedError()
    if (this.#running > 0) await new Promise<void>((resolve) => { this.#onIdle.push(resolve) })
    await this.close()
  }

  /** Ends the connection in good order: calls that run fail with Unavailable `CLAW_ERR_CLOSED`. Resolves when it is over. */
  async close (): Promise<void> {
    this.#closing ??= closedError()
    for (const session of [...this.#connection.sessions]) {
      session.close(undefined, undefined, this.#closing)
      session.sink.onFail(this.#closing)
    }
    this.#connection.close()
    await this.closed
  }

  /** Ends the connection now. */
  destroy (error: RpcError = closedError()): void {
    this.#closing ??= error
    this.#connection.destroy(error)
  }

  #stream (type: RpcType, pkg: string, service: string, call: string, options: CallOptions): StreamCall {
    const names = { package: pkg, service, call }
    const interceptors = this.#options.streamInterceptors ?? []
    const refusal = this.#refusal()
    const stream = new StreamCall(this.#streamHost, type)
    if (refusal !== undefined) stream.cancel(refusal)
    else if (interceptors.length > 0) intercept(interceptors, { ...names, type, options, wrappers: [], wrap }, stream)
    else stream.start(names, options)
    return stream
  }

  #refusal (): RpcError | undefined {
    return this.#closing ?? this.#role.goAway ?? (this.#connection.isOpen ? undefined : closedError())
  }

  #checkIdle (): void {
    if (this.#running > 0) return
    this.#settleIdle()
    // The server has asked to leave: after the last call nothing keeps this client here.
    if (this.#role.goAway !== undefined && this.#role.pendingCount === 0) this.#connection.close()
  }

  #settleIdle (): void {
    for (const settle of this.#onIdle.splice(0)) settle()
  }

  #handleClosed (error: RpcError | undefined): void {
    this.#sweepTimer?.stop()
    const reason = this.#closing ?? this.#role.goAway
    this.#closing ??= error ?? closedError()
    this.#settleIdle()
    this.#resolveClosed(reason === undefined ? error ?? this.#closing : undefined)
  }

  readonly #sweep = (): void => {
    this.#sweepTimer = this.#clock.timer(SWEEP_MS, this.#sweep)
    const now = this.#clock.now()
    this.#connection.sweep(now)
    this.#role.sweep(now)
    const { keepAliveIntervalMs, keepAliveTimeoutMs } = this.#numbers
    if (keepAliveIntervalMs === 0 || this.#connection.isPaused || !this.#connection.isOpen || this.#role.isSilent) return
    const { lastReceivedAt } = this.#connection
    if (this.#pingSentAt !== undefined && lastReceivedAt >= this.#pingSentAt) this.#pingSentAt = undefined
    if (this.#pingSentAt !== undefined && now - this.#pingSentAt >= keepAliveTimeoutMs) {
      return this.#connection.destroy(new RpcError(Category.Unavailable, 'the server is silent', { code: ErrorCode.PING_TIMEOUT }))
    }
    // A server closes a connection that says nothing at all: one that waits for its first call says hello.
    const isSilentSoFar = this.#lastPing === 0 && this.#connection.highestSessionID === 0 && this.#role.pendingCount === 0
    if (this.#pingSentAt !== undefined || (now - lastReceivedAt < keepAliveIntervalMs && !isSilentSoFar)) return
    const ping = new Ping()
    // Never 0: a Go server dies of a Ping without a body (defect D1).
    ping.id = this.#lastPing = this.#lastPing === 0xffffffff ? 1 : this.#lastPing + 1
    this.#pingSentAt = now
    this.#connection.sendControl(ping)
  }
}

/** Runs the interceptors around a stream: the innermost opens it, when its turn comes, and waits for its end. */
function intercept (interceptors: readonly StreamClientInterceptor[], call: StreamClientCall, stream: StreamCall): void {
  const io = new InterceptedIO(stream)
  const run = compose<StreamClientCall, void>(interceptors, async (opened) => {
    if (!stream.isStarted) io.open(opened)
    const error = await stream.ended
    if (error !== undefined) throw error
  })
  // One that returns or refuses without going on leaves a stream that somebody holds and nobody opens.
  run(call).then(
    () => { if (!stream.isStarted) stream.cancel(new RpcError(Category.Canceled, 'an interceptor did not open the stream')) },
    (error: unknown) => { stream.cancel(RpcError.from(error)) }
  )
}

function settingsOf (numbers: ReturnType<typeof resolveNumbers>, options: ClientOptions): ConnectionSettings {
  const compressors = new CompressorRegistry(options.compressors ?? [])
  if (numbers.compression !== 0 && compressors.get(numbers.compression) === undefined) {
    throw misuse(ErrorCode.OPTION_INVALID, `compression ${numbers.compression} is not among the compressors`)
  }
  return {
    ...numbers,
    minor: numbers.minorVersion === 0 ? 0 : 1,
    recvBufferBytes: RECV_BUFFER_BYTES,
    reassemblyPlaces: REASSEMBLY_PLACES,
    stallTimeoutMs: STALL_TIMEOUT_MS,
    messageTimeoutMs: MESSAGE_TIMEOUT_MS,
    compressors
  }
}

function closedError (): RpcError { return new RpcError(Category.Unavailable, 'client is closed', { code: ErrorCode.CLOSED }) }
