/**
 * A plan of calls and of what happens meanwhile, played by our own client and server over a SlowNetwork that a CreditModel
 * overhears. Throws what was wrong: a breach of the protocol, a wrong message, an outcome that the plan did not bring
 * about, a call that hangs, or something that is left when all is over.
 */
import { Client } from '../../lib/client/client.js'
import type { Handler } from '../../lib/server/handlers.js'
import { SendHandler, RecvHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import type { ServerConn } from '../../lib/server/server-conn.js'
import { SIDES } from './credit-books.js'
import { CreditModel } from './credit-model.js'
import { Halving } from './credit-plan.js'
import type { Ending, Plan, Step } from './credit-plan.js'
import { PlannedCall } from './planned-call.js'
import { logInto } from './engine.js'
import type { EngineLogLine } from './engine.js'
import { FakeClock } from './fake-clock.js'
import { deferred, turn, watch } from './scripted-peer.js'
import type { Outcome } from './scripted-peer.js'
import { SlowNetwork } from './slow-network.js'

const KIB = 1024
const CLIENT_PLACES = 8
/** Larger windows are not filled to the brim by who looks for what got lost. */
const SMALL_WINDOW = 200 * KIB
/** Turns in which nothing moves, after which nothing will. */
const IDLE_TURNS = 8
const MOST_TURNS = 20_000
/** Steps after which an impatient server ends what still runs. */
const PATIENCE = 4
/** Codes that Closes and answers of a plan may have: well, canceled, deadline, a handler that gave up, draining. */
const CODES: ReadonlySet<number> = new Set([0, 1, 4, 10, 14])

export class CreditScenario {
  readonly model: CreditModel
  readonly #plan: Plan
  readonly #clock = new FakeClock()
  readonly #network: SlowNetwork
  readonly #server: Server
  readonly #conn: ServerConn
  readonly #client: Client
  readonly #calls: PlannedCall[]
  readonly #halving: Halving
  readonly #log: EngineLogLine[] = []
  /** The end of the connection, once somebody has begun it. */
  #ending: Outcome<unknown> | undefined
  #patience = Infinity
  readonly #impatience = new AbortController()

  constructor (plan: Plan) {
    this.#plan = plan
    this.#halving = new Halving(plan.compression === 'later')
    const { windows, maxWindows, places, maxRequests, maxRuns, socketBytes, isPacking, compression } = plan
    const model = this.model = new CreditModel({
      now: () => this.#clock.now(),
      places: { client: CLIENT_PLACES, server: places },
      maxWindow: maxWindows,
      codes: CODES,
      takesEarly: compression !== 'none'
    })
    this.#network = new SlowNetwork({
      said: (from, message, frameBytes, unsent) => { model.said(from, message, frameBytes, unsent) },
      heard: (by, message, frameBytes) => { model.heard(by, message, frameBytes) },
      paused: (side) => { model.complain(`${side} stops reading`) }
    }, { socketBytes, isPacking })
    const compressors = compression === 'none' ? [] : [this.#halving]
    this.#server = new Server({
      windowBytes: windows.server,
      maxWindowBytes: maxWindows.server,
      reassemblyPlaces: places,
      maxRequestsPerConnection: maxRequests,
      maxConcurrentRPCs: maxRuns,
      packing: isPacking,
      compression: compression === 'none' ? 'none' : 'snappy',
      compressors,
      keepAliveIntervalMs: 0,
      handshakeTimeoutMs: 0
    }, { clock: this.#clock })
    this.#calls = plan.calls.map((call, at) => new PlannedCall(call, at, { model, clock: this.#clock, isCompressing: compression !== 'none' }))
    for (const call of this.#calls) this.#server.register('p', 'S', call.name, call.handler())
    this.#conn = this.#server.connect(this.#network.server, { log: logInto(this.#log) })
    this.#client = new Client(this.#network.client, {
      windowBytes: windows.client,
      maxWindowBytes: maxWindows.client,
      packing: isPacking,
      compression: compression === 'none' ? 0 : 2,
      compressors,
      keepAliveIntervalMs: 0
    }, this.#clock)
  }

  /** Plays it. @throws Error with everything that was wrong, and the model's books. */
  async run (): Promise<void> {
    try {
      await this.#play()
      this.#checkComplaints()
    } catch (error) {
      const complaints = this.model.complaints.slice(0, 10).join('\n')
      const calls = this.#calls.map((call) => call.toString()).join('\n')
      throw new Error(`${(error as Error).message}\n${complaints}\n${calls}\n${this.model.toString()}`, { cause: error })
    }
  }

  async #play (): Promise<void> {
    const { steps, ending } = this.#plan
    for (const [at, step] of steps.entries()) {
      if (at === ending.at) this.#end()
      if (--this.#patience === 0) this.#losePatience()
      for (const call of this.#calls) if (call.plan.startAt === at) this.#start(call)
      await this.#step(step)
      this.#checkComplaints()
    }
    for (const call of this.#calls) this.#start(call)
    await this.#rest()
    if (this.#patience !== Infinity) this.#losePatience()
    for (const call of this.#calls) call.open()
    await this.#flow()
    // No time has passed since: only deadlines and faults would need any.
    for (const call of this.#calls) if (!call.isSettled) throw new Error(`${call.name} hangs`)
    for (const call of this.#calls) call.check()
    await this.#rest()
    if (this.#ending === undefined) {
      this.model.checkEnd()
      this.#checkComplaints()
      await this.#probeCredit()
      await this.#probePlaces()
      await this.#rest()
      this.#end()
    }
    await this.#finish()
  }

  async #step (step: Step): Promise<void> {
    const call = 'call' in step ? this.#calls[step.call % this.#calls.length] : undefined
    switch (step.do) {
      case 'deliver':
        for (let times = step.times; times > 0 && this.#network.deliver(step.from, step.piece); times--) await this.#turn()
        break
      case 'flow':
        for (let turns = step.turns; turns > 0; turns--) {
          this.#network.deliverAll()
          await this.#turn()
        }
        break
      case 'advance':
        this.#clock.advance(step.ms)
        break
      case 'pass':
        call?.pass(step.gate, step.times)
        break
      case 'abort':
        call?.abort(step.nth)
        break
      case 'endHandler':
        call?.endHandler(step.how)
        break
      case 'rest':
        await this.#rest()
    }
    await this.#turn()
  }

  #start (call: PlannedCall): void {
    if (!call.isStarted) call.start(this.#client)
  }

  /** The end of the connection begins; what it may mean for the calls is told to them. */
  #end (): void {
    const { how } = this.#plan.ending
    const isHard = how !== 'drain' && how !== 'shutdown'
    for (const call of this.#calls) {
      // A client that drains finishes what has begun, a server what it has accepted; requests may still be to come.
      const hasBegun = how === 'drain' ? call.isStarted : this.model.booksOf(call.name) !== undefined
      const isSafe = hasBegun && call.plan.kind !== 'sync'
      if (isHard || !isSafe) call.mayFailWith(14)
    }
    if (how === 'shutdown' || how === 'forcedShutdown') this.model.drain()
    this.model.count(how)
    this.#ending = watch(this.#begin(how))
  }

  #begin (how: Ending): Promise<unknown> {
    switch (how) {
      case 'close': return this.#client.close()
      case 'drain': return this.#client.drain()
      case 'shutdown': return this.#server.shutdown()
      case 'serverClose':
        this.#dropRequests()
        return this.#conn.close()
      case 'forcedShutdown':
        this.#patience = PATIENCE
        return this.#server.shutdown({ signal: this.#impatience.signal })
      case 'cut':
        this.#network.cut()
        return Promise.resolve()
    }
  }

  #losePatience (): void {
    this.#patience = Infinity
    this.#dropRequests()
    this.#impatience.abort()
  }

  /** The server ends what runs: requests that wait for their turn are thrown away. */
  #dropRequests (): void {
    for (const { name, plan } of this.#calls) if (plan.kind === 'sync') this.model.drop('server', name)
  }

  /** A turn of the event loop with everything that was begun before it. */
  async #turn (): Promise<void> {
    await turn()
    this.model.endTurn()
  }

  /** Delivers until nothing moves any more. */
  async #flow (): Promise<void> {
    for (let idle = 0, turns = 0; idle < IDLE_TURNS; turns++) {
      idle = this.#network.deliverAll() || this.#halving.pending > 0 ? 0 : idle + 1
      await this.#turn()
      if (turns > MOST_TURNS) throw new Error('there is no end of it')
    }
  }

  /** Lets everything arrive; then the books of the model and those of the server must say the same, and nothing is lost. */
  async #rest (): Promise<void> {
    await this.#flow()
    this.model.count('rest')
    const { connection } = this.#conn
    if (!connection.isOpen || !this.#isOrderly) return this.#checkComplaints()
    this.model.checkRest((side, name) => this.#calls.some((call) => call.name === name && call.blocked[side] > 0))
    for (const session of connection.sessions) {
      const books = this.model.sessions.get(session.id)
      if (books === undefined) this.model.complain(`the server has a session ${session.id}`)
      else if (session.peerCredit !== books.client.outstanding || session.outbox.credit.available !== books.server.credit) {
        this.model.complain(`on session ${session.id} the server grants ${session.peerCredit} and has ${session.outbox.credit.available}: the books say ${books.client.outstanding} and ${books.server.credit}`)
      }
    }
    if (connection.sessionCount !== this.model.living.length) this.model.complain(`the server has ${connection.sessionCount} sessions, the books ${this.model.living.length}`)
    if (connection.unsentBytes !== 0 || this.#network.bytes !== 0) this.model.complain(`${connection.unsentBytes} bytes are left unsent, ${this.#network.bytes} on their way`)
    this.#checkComplaints()
  }

  /** Whether nobody has ended the connection, or in a way that lets everything finish. */
  get #isOrderly (): boolean {
    const { how } = this.#plan.ending
    return this.#ending === undefined || how === 'drain' || how === 'shutdown'
  }

  /** No credit got lost in the synchronous sessions, however little: a WindowUpdate gives back all that was taken, soon or later. */
  async #probeCredit (): Promise<void> {
    for (const books of this.model.living) {
      const call = this.#calls.find(({ name }) => name === books.call)
      const sides = SIDES.filter((side) => books[side].window <= SMALL_WINDOW && this.model.keptOf(side, books) !== undefined)
      const leasts = sides.map((side) => this.model.keptOf(side, books) ?? 0)
      const bytes = new Uint8Array(20 * KIB).map((_, at) => at)
      for (let times = 0; leasts.some((least) => least > 0); times++) {
        if (times === 24) {
          this.model.complain(`on session ${books.id} ${leasts.join(' and ')} bytes of credit never come back to ${sides.join(' and ')}`)
          break
        }
        const outcome = watch(call?.probe(this.#client, bytes))
        await this.#rest()
        if (!outcome.isSettled || outcome.error !== undefined) throw outcome.error ?? new Error('an echo hangs')
        for (const [at, side] of sides.entries()) leasts[at] = Math.min(leasts[at] ?? 0, this.model.keptOf(side, books) ?? 0)
      }
    }
    this.#checkComplaints()
  }

  /** No place got lost: as many messages larger than their windows arrive, unread, as there are places; and no more. */
  async #probePlaces (): Promise<void> {
    const { windows, places, maxRuns } = this.#plan
    // All probes have to run at a time.
    if (maxRuns !== 0) return
    if (windows.server <= SMALL_WINDOW) await this.#probe('up', windows.server, places)
    if (windows.client <= SMALL_WINDOW && places === 4) await this.#probe('down', windows.client, CLIENT_PLACES)
  }

  async #probe (direction: 'up' | 'down', window: number, places: number): Promise<void> {
    const gate = deferred()
    const bytes = new Uint8Array(Math.ceil(2.5 * window))
    // Halved messages need more: they must not consist of two equal halves.
    bytes[0] = 1
    let sent = 0
    const answers = Array.from({ length: places + 1 }, async (_, at) => {
      const name = `${direction}${at}`
      this.#server.register('p', 'S', name, this.#probeHandler(direction, name, gate.promise, async (send) => {
        await send(bytes)
        sent++
      }))
      if (direction === 'up') {
        const stream = this.#client.send('p', 'S', name)
        await stream.send(bytes)
        sent++
        this.model.drop('client', name)
        await stream.close()
        return
      }
      const stream = this.#client.recv('p', 'S', name)
      await gate.promise
      this.model.drop('client', name)
      for await (const found of stream) if (found.byteLength !== bytes.byteLength) throw new Error('the probe is cut')
    })
    const outcome = watch(Promise.all(answers))
    await this.#flow()
    this.model.count('places')
    if (sent !== places) this.model.complain(`${sent} messages larger than the window arrive ${direction}, with ${places} places`)
    this.#checkComplaints()
    gate.resolve()
    await this.#flow()
    if (outcome.error !== undefined) throw outcome.error
    if (!outcome.isSettled || sent !== places + 1) throw new Error('a probe hangs')
  }

  #probeHandler (direction: 'up' | 'down', name: string, gate: Promise<void>, write: (send: (bytes: Uint8Array) => Promise<void>) => Promise<void>): Handler {
    if (direction === 'down') {
      return new RecvHandler(async (_context, stream) => {
        await write((bytes) => stream.send(bytes))
        // The end of the session would free the place.
        await gate
      })
    }
    return new SendHandler(async (_context, stream) => {
      await gate
      this.model.drop('server', name)
      for await (const bytes of stream.recv()) if (bytes.byteLength === 0) throw new Error('the probe is empty')
    })
  }

  /** The connection comes to its end, for which it may take its time, and nothing is left of it. */
  async #finish (): Promise<void> {
    const ends = [watch(this.#client.closed), watch(this.#conn.closed)]
    for (let rounds = 0; ; rounds++) {
      await this.#flow()
      if (ends.every(({ isSettled }) => isSettled) && this.#ending?.isSettled === true) break
      if (rounds === 40) throw new Error('the connection does not end')
      this.#clock.advance(100)
    }
    const { connections, sessions, running, queued, callsStarted, callsEnded } = this.#server.stats()
    const { how } = this.#plan.ending
    if (how !== 'forcedShutdown' && this.#ending.error !== undefined) throw this.#ending.error
    if (how === 'shutdown' && this.#ending.value !== true) this.model.complain('the shutdown was not finished in good order')
    if (connections + sessions + running + queued !== 0) this.model.complain(`left: ${connections} connections, ${sessions} sessions, ${running} handlers, ${queued} waiting`)
    if (callsStarted !== callsEnded) this.model.complain(`${callsStarted} calls began, ${callsEnded} ended`)
    if (this.#client.running !== 0) this.model.complain(`left: ${this.#client.running} calls`)
    if (this.#clock.pendingTimers !== 0) this.model.complain(`left: ${this.#clock.pendingTimers} timers`)
    if (this.#network.bytes !== 0) this.model.complain(`left: ${this.#network.bytes} bytes`)
    const lost = 4 * this.#plan.maxWindows.server - this.#conn.connection.growth.take(Infinity)
    if (lost !== 0) this.model.complain(`${lost} bytes of what windows may grow by are lost`)
    for (const line of this.#log) if (line.level === 'error' || line.level === 'fatal') this.model.complain(`the log says ${JSON.stringify(line)}, ${String(line['err'])}`)
  }

  #checkComplaints (): void {
    if (this.model.complaints.length > 0) throw new Error('the protocol was broken')
  }
}
