/**
 * One call of a plan, with both its ends: what the client does, what the handler does, how fast each goes, and what may
 * become of it. Messages are checked byte by byte where they arrive; the outcome is checked at the end.
 */
import type { Client } from '../../lib/client/client.js'
import { RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import type { Handler } from '../../lib/server/handlers.js'
import type { HandlerContext } from '../../types/handler-context.js'
import type { MessageOptions } from '../../types/stream.js'
import type { CreditModel } from './credit-model.js'
import type { FakeClock } from './fake-clock.js'
import { deferred } from './scripted-peer.js'
import type { Side } from './slow-network.js'

export interface MessagePlan {
  bytes: number
  /** Bytes of metadata beside it. */
  metadata: number
  /** Whether its sender waits for it before it goes on. */
  awaits: boolean
}

/** As fast as it can, or when a step of the plan lets a message pass. */
export type Pace = 'free' | 'steps'
export type GateName = 'clientRead' | 'clientWrite' | 'serverRead' | 'serverWrite'

export interface CallPlan {
  kind: 'sync' | 'biDir' | 'send' | 'recv'
  /** The step before which it starts. */
  startAt: number
  up: MessagePlan[]
  down: MessagePlan[]
  paces: Record<GateName, Pace>
  /** A bidirectional handler: answers each message before it takes the next one. */
  isEcho: boolean
  timeoutMs: number | undefined
  /** Leaves a server stream after so many messages. */
  breakAfter: number | undefined
}

export interface CallWorld {
  readonly model: CreditModel
  readonly clock: FakeClock
  readonly isCompressing: boolean
}

/** Lets through who has leave to pass. */
class Gate {
  #isOpen: boolean
  #leaves = 0
  #waiting: (() => void)[] = []

  constructor (pace: Pace) { this.#isOpen = pace === 'free' }

  pass (): Promise<void> | undefined {
    if (this.#isOpen || this.#leaves > 0) {
      this.#leaves--
      return undefined
    }
    return new Promise((resolve) => { this.#waiting.push(resolve) })
  }

  leave (times: number): void {
    if (this.#isOpen) return
    this.#leaves = Math.max(0, this.#leaves) + times
    while (this.#leaves > 0 && this.#waiting.length > 0) {
      this.#leaves--
      this.#waiting.shift()?.()
    }
  }

  open (): void {
    this.#isOpen = true
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

const POOL = Uint8Array.from({ length: 1 << 20 }, ((state) => () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state >>> 24
})(1))

/** Bytes that no other message has. @param isDouble whether it consists of two equal halves. */
function content (seed: number, length: number, isDouble: boolean): Uint8Array {
  const at = (seed * 104_729) % (POOL.byteLength >>> 1)
  if (!isDouble || length % 2 === 1) return POOL.subarray(at, at + length)
  const half = POOL.subarray(at, at + length / 2)
  return Buffer.concat([half, half])
}

interface Sink { send (bytes: Uint8Array, options?: MessageOptions): Promise<void> }
type Outcome = { error: Error | undefined, at: number } | undefined

export class PlannedCall {
  readonly plan: CallPlan
  readonly name: string
  isStarted = false
  /** Sends of a stream that wait. */
  readonly blocked: Record<Side, number> = { client: 0, server: 0 }
  /** Messages each side of a stream sent, and got. */
  readonly #sent: Record<Side, number> = { client: 0, server: 0 }
  readonly #got: Record<Side, number> = { client: 0, server: 0 }
  readonly #world: CallWorld
  readonly #up: Uint8Array[]
  readonly #down: Uint8Array[]
  readonly #gates: Record<GateName, Gate>
  /** Categories that something in the plan has made possible. */
  readonly #causes = new Set<number>()
  readonly #controllers: AbortController[]
  readonly #outcomes: Outcome[]
  readonly #ending = deferred<'return' | 'throw'>()
  #startedAt = 0
  #endedEarly: 'return' | 'throw' | undefined
  #isHandlerOver = false
  #answer: Uint8Array = new Uint8Array(0)
  #hasLeft = false
  #isDone = false
  readonly #faults: Error[] = []

  constructor (plan: CallPlan, at: number, world: CallWorld) {
    this.plan = plan
    this.name = `${plan.kind}${at}`
    this.#world = world
    const make = (messages: MessagePlan[], direction: number): Uint8Array[] => messages.map(({ bytes }, i) => {
      // The shortest have nothing to tell them apart by.
      const number = bytes < 16 ? messages.findIndex((other) => other.bytes === bytes) : i
      return content((at * 2 + direction) * 16 + number, bytes, world.isCompressing && i % 2 === 0)
    })
    this.#up = make(plan.up, 0)
    this.#down = make(plan.down, 1)
    const { paces } = plan
    this.#gates = { clientRead: new Gate(paces.clientRead), clientWrite: new Gate(paces.clientWrite), serverRead: new Gate(paces.serverRead), serverWrite: new Gate(paces.serverWrite) }
    const count = plan.kind === 'sync' ? plan.up.length : 1
    this.#controllers = Array.from({ length: count }, () => new AbortController())
    this.#outcomes = Array.from({ length: count }, () => undefined)
  }

  get isSettled (): boolean { return this.#isDone }

  // --- what the plan does to it

  pass (gate: GateName, times: number): void { this.#gates[gate].leave(times) }
  open (): void { for (const gate of Object.values(this.#gates)) gate.open() }
  mayFailWith (category: number): void { if (!this.#isDone) this.#causes.add(category) }

  abort (nth: number): void {
    const at = nth % Math.max(1, this.#controllers.length)
    const controller = this.#controllers[at]
    if (controller === undefined || this.#outcomes[at] !== undefined) return
    this.#causes.add(1)
    controller.abort()
  }

  endHandler (how: 'return' | 'throw'): void {
    if (this.#isHandlerOver || this.#endedEarly !== undefined) return
    this.#endedEarly = how
    if (how === 'throw') this.#causes.add(10)
    this.#ending.resolve(how)
  }

  // --- the client's end

  start (client: Client): void {
    this.isStarted = true
    this.#startedAt = this.#world.clock.now()
    this.#play(client).then(() => { this.#isDone = true }, (error: Error) => {
      this.#isDone = true
      this.#faults.push(error)
    })
  }

  async #play (client: Client): Promise<void> {
    if (this.plan.kind === 'sync') return await this.#request(client)
    const error = await this.#stream(client).then(() => undefined, (error: Error) => error)
    this.#outcomes[0] = { error, at: this.#world.clock.now() }
  }

  async #request (client: Client): Promise<void> {
    const { plan, name } = this
    const method = client.sync('p', 'S', name)
    const pending: Promise<void>[] = []
    for (const [at, { awaits, metadata }] of plan.up.entries()) {
      await this.#gates.clientWrite.pass()
      const calling = method.call(this.#up[at] as Uint8Array, { ...this.#options(at), ...metadataOf(metadata) }).then((answer) => {
        const wanted = this.#down[this.#canonical(at)] ?? new Uint8Array(0)
        if (Buffer.compare(answer, wanted) !== 0) this.#fault(`answer ${at} is wrong: ${answer.byteLength} bytes instead of ${wanted.byteLength}`)
        this.#outcomes[at] = { error: undefined, at: this.#world.clock.now() }
      }, (error: Error) => { this.#outcomes[at] = { error, at: this.#world.clock.now() } })
      pending.push(calling)
      if (awaits) await calling
    }
    await Promise.all(pending)
  }

  async #stream (client: Client): Promise<void> {
    const { plan: { kind, breakAfter }, name } = this
    const options = this.#options(0)
    const { model } = this.#world
    if (kind === 'recv') {
      const [request] = this.#up
      const stream = client.recv('p', 'S', name, request === undefined ? options : { ...options, request })
      return await this.#read('client', stream, this.#down, breakAfter)
    }
    if (kind === 'biDir') {
      const stream = client.biDir('p', 'S', name, options)
      const writing = this.#write('client', stream, this.plan.up, this.#up).then(() => { stream.closeSend() })
      const [read, written] = await Promise.allSettled([this.#read('client', stream.recv(), this.#down), writing])
      // What the reader meets counts: a writer may be cut short by a handler that returned early.
      if (read.status === 'rejected') throw read.reason
      if (written.status === 'rejected' && this.#endedEarly !== 'return') throw written.reason
      return
    }
    const stream = client.send('p', 'S', name, options)
    try {
      await this.#write('client', stream, this.plan.up, this.#up)
    } catch (error) {
      if (this.#endedEarly !== 'return') throw error
    }
    model.drop('client', name)
    const answer = await stream.close()
    if (Buffer.compare(answer, this.#answer) !== 0) this.#fault(`the answer is wrong: ${answer.byteLength} bytes`)
  }

  #options (at: number): { signal: AbortSignal, timeoutMs?: number } {
    const { timeoutMs } = this.plan
    const { signal } = this.#controllers[at] as AbortController
    return timeoutMs === undefined ? { signal } : { signal, timeoutMs }
  }

  /** One more request of a synchronous call that is over, which is answered with itself. */
  async probe (client: Client, bytes: Uint8Array): Promise<void> {
    const answer = await client.sync('p', 'S', this.name).call(bytes)
    if (Buffer.compare(answer, bytes) !== 0) throw new Error(`${this.name}: the echo is wrong`)
  }

  // --- the server's end

  handler (): Handler {
    switch (this.plan.kind) {
      case 'sync': return new SyncHandler((context, request) => this.#answerOne(context, request))
      case 'biDir': return new BiDirHandler(async (_context, stream) => {
        await this.#handle(async () => {
          if (this.plan.isEcho) return await this.#echo(stream, stream.recv())
          await Promise.all([this.#write('server', stream, this.plan.down, this.#down), this.#read('server', stream.recv(), this.#up)])
        })
      })
      case 'send': return new SendHandler(async (_context, stream) => await this.#handle(async () => {
        await this.#read('server', stream.recv(), this.#up)
        return this.#down[0]
      }))
      case 'recv': return new RecvHandler(async (_context, stream) => {
        await this.#handle(async () => {
          await this.#gates.serverRead.pass()
          this.#world.model.pull('server', this.name)
          const request = await stream.request()
          if (this.#isHandlerOver) return
          if (Buffer.compare(request, this.#up[0] ?? new Uint8Array(0)) !== 0) this.#fault(`the request is wrong: ${request.byteLength} bytes`)
          await this.#write('server', stream, this.plan.down, this.#down)
        })
      })
    }
  }

  async #answerOne (context: HandlerContext, request: Uint8Array): Promise<Uint8Array> {
    this.#world.model.start(context.session, context.reqID)
    if (this.#isDone) return request
    const at = this.#up.findIndex((bytes) => Buffer.compare(bytes, request) === 0)
    if (at === -1) this.#fault(`a request is wrong: ${request.byteLength} bytes`)
    if (await Promise.race([this.#gates.serverRead.pass(), this.#ending.promise]) === 'throw') throw new RpcError(10, 'the handler gave up')
    const { metadata } = metadataOf(this.plan.down[at]?.metadata ?? 0)
    if (metadata !== undefined) context.setTrailer(metadata)
    return this.#down[at] ?? new Uint8Array(0)
  }

  /** Requests of the same content are answered alike. */
  #canonical (at: number): number { return this.#up.findIndex((bytes) => Buffer.compare(bytes, this.#up[at] as Uint8Array) === 0) }

  /** Runs until it is done or the plan ends it. */
  async #handle (run: () => Promise<Uint8Array | void>): Promise<Uint8Array | void> {
    const working = run()
    working.catch(() => {})
    try {
      const how = await Promise.race([working, this.#ending.promise])
      if (how === 'throw') throw new RpcError(10, 'the handler gave up')
      if (how === 'return' || how === undefined) return undefined
      return (this.#answer = how)
    } finally {
      this.#isHandlerOver = true
      this.#world.model.drop('server', this.name)
    }
  }

  async #echo (stream: Sink, input: AsyncIterable<Uint8Array>): Promise<void> {
    let answered = 0
    await this.#read('server', input, this.#up, undefined, async () => {
      await this.#write('server', stream, this.plan.down, this.#down, answered, answered + 1)
      answered++
    })
    await this.#write('server', stream, this.plan.down, this.#down, answered)
  }

  // --- both

  async #write (side: Side, stream: Sink, plans: MessagePlan[], messages: Uint8Array[], from = 0, to = messages.length): Promise<void> {
    let failed: Error | undefined
    const sending: Promise<void>[] = []
    for (let at = from; at < Math.min(to, messages.length); at++) {
      const { awaits, metadata } = plans[at] as MessagePlan
      await this.#gates[`${side}Write`].pass()
      if (side === 'server' && this.#isHandlerOver) return
      this.blocked[side]++
      const sent = stream.send(messages[at] as Uint8Array, metadataOf(metadata)).then(() => { this.#sent[side]++ }, (error: Error) => { failed ??= error })
      sending.push(sent.then(() => { this.blocked[side]-- }))
      if (awaits) await sending.at(-1)
      if (failed !== undefined) break
    }
    await Promise.all(sending)
    if (failed !== undefined) throw failed
  }

  async #read (side: Side, messages: AsyncIterable<Uint8Array>, wanted: Uint8Array[], limit = Infinity, then?: () => Promise<void>): Promise<void> {
    const iterator = messages[Symbol.asyncIterator]()
    for (;;) {
      if (this.#got[side] >= limit) {
        this.#hasLeft = true
        this.#causes.add(1)
        await iterator.return?.()
        return
      }
      await this.#gates[`${side}Read`].pass()
      this.#world.model.pull(side, this.name)
      const { value, done } = await iterator.next() as IteratorResult<Uint8Array, undefined>
      if (done === true) break
      const at = this.#got[side]++
      if (wanted[at] === undefined || Buffer.compare(value, wanted[at]) !== 0) this.#fault(`${side} gets ${(value).byteLength} bytes as message ${at}, which are wrong`)
      await then?.()
    }
    if (side === 'server' && !this.#isHandlerOver && this.#got.server !== wanted.length) this.#fault(`the handler got ${this.#got.server} of ${wanted.length} messages`)
  }

  #fault (what: string): never {
    const fault = new Error(`${this.name}: ${what}`)
    this.#faults.push(fault)
    throw fault
  }

  // --- the outcome

  /** @throws Error when it did not end as the plan allows. */
  check (): void {
    const [fault] = this.#faults
    if (fault !== undefined) throw fault
    for (const [at, outcome] of this.#outcomes.entries()) {
      if (outcome === undefined) throw new Error(`${this.name} has no outcome ${at}`)
      this.#checkOutcome(outcome.error, outcome.at)
    }
  }

  #checkOutcome (error: Error | undefined, at: number): void {
    const { plan: { kind, timeoutMs }, name } = this
    const isLate = timeoutMs !== undefined && at - this.#startedAt >= timeoutMs
    if (error !== undefined) {
      const isAllowed = RpcError.is(error) && (this.#causes.has(error.category) || (error.category === 4 && isLate))
      if (!isAllowed) throw new Error(`${name} fails: ${error.message} ${RpcError.is(error) ? error.category : ''}`, { cause: error })
    }
    if (kind === 'sync' || this.#hasLeft) return
    // What a handler sent comes before its outcome, good or bad.
    const isHandlers = error === undefined || (RpcError.is(error) && error.category === 10)
    if (isHandlers && kind !== 'send' && this.#got.client !== this.#sent.server) throw new Error(`${name}: the client got ${this.#got.client} of the ${this.#sent.server} messages that were sent`)
    if (error !== undefined || this.#endedEarly !== undefined) return
    if (kind !== 'send' && this.#got.client !== this.plan.down.length) throw new Error(`${name}: the client got ${this.#got.client} of ${this.plan.down.length}`)
    if (kind !== 'recv' && this.#got.server !== this.plan.up.length) throw new Error(`${name}: the handler got ${this.#got.server} of ${this.plan.up.length}`)
  }

  toString (): string {
    const outcomes = this.#outcomes.map((outcome) => outcome === undefined ? 'open' : outcome.error?.message ?? 'well')
    return `${this.name}: sent ${JSON.stringify(this.#sent)}, got ${JSON.stringify(this.#got)}, waiting ${JSON.stringify(this.blocked)}, outcomes ${outcomes.join(', ')} ${this.#faults.join(', ')}`
  }
}

function metadataOf (bytes: number): { metadata?: Record<string, Uint8Array> } {
  return bytes === 0 ? {} : { metadata: { m: POOL.subarray(0, bytes) } }
}
