/**
 * What protocol 1.1 says of credit, chunks, places, outcomes and ends, as a model that hears every frame twice: when it
 * is written and when it arrives. Made from the text (sections 2 to 7), not from lib/connection: it shares with it the
 * decoder only. What a wire does not show (who has read what) the test reports. Breaches are gathered in `complaints`.
 *
 *   frame written --said()--> may its sender say this, by what it has heard so far?
 *   frame arrived --heard()--> what its receiver holds, must answer and may give back
 */
import { MsgType, RpcType } from '../../lib/wire/message.js'
import type { Cancel, Close, Message, Open, OpenAck, Payload, WindowUpdate } from '../../lib/wire/message.js'
import { Ledger, SIDES, costOf, describe, isLiving, other } from './credit-books.js'
import type { Arrival, Books, Side } from './credit-books.js'

const KIB = 1024
const MAX_CHUNK = 64 * KIB
const MIN_CHUNK = 4 * KIB
/** No chunk can cost more, whatever stands beside its content. */
const MAX_CHUNK_COST = MAX_CHUNK + 18 * KIB
const MAX_UNSENT = 128 * KIB
const TYPE_NAMES: Record<number, string> = Object.fromEntries(Object.entries(MsgType).map(([name, type]) => [type, name]))

export interface CreditModelOptions {
  now: () => number
  /** Places of each side for messages larger than the window. */
  places: Record<Side, number>
  /** What the windows each side grants may grow to; 0 when they do not. */
  maxWindow: Record<Side, number>
  /** Codes of the Closes that the plan may bring about. */
  codes: ReadonlySet<number>
  /** Whether requests are looked at (decompressed) some time before their handler runs. */
  takesEarly: boolean
}

export class CreditModel {
  readonly complaints: string[] = []
  readonly sessions = new Map<number, Books>()
  /** Frames by type, and what else is worth knowing of a run. */
  readonly seen = new Map<string, number>()
  /** What is said in one turn was decided by what was heard before it, or in it. */
  #turn = 0
  /** Whether something was credited early in this turn. */
  #hasPlaced = false
  readonly #options: CreditModelOptions
  readonly #opens = new Map<number, { open: Open, isRefusalDue: boolean }>()
  readonly #pulls = new Map<string, number>()
  readonly #dropped = new Set<string>()
  /** Requests inside an Open whose handlers run, by session. */
  readonly #firsts = new Map<number, number>()
  #isDraining = false
  #goAwayHeardAt: number | undefined

  constructor (options: CreditModelOptions) { this.#options = options }

  // --- what the test reports

  /** A turn of the event loop is over. In it a place may change hands before the Close that frees it is said. */
  endTurn (): void {
    this.#checkPlaces()
    this.#turn++
  }

  /** This side asks for the next message of a stream. */
  pull (side: Side, call: string): void {
    const key = `${side} ${call}`
    this.#pulls.set(key, (this.#pulls.get(key) ?? 0) + 1)
  }

  /** This side will not read what is left of a stream, or of all requests of a call. */
  drop (side: Side, call: string): void { this.#dropped.add(`${side} ${call}`) }

  /** The handler of a request runs. */
  start (sessionID: number, reqID: number): void {
    const books = this.sessions.get(sessionID)
    // A First runs before the OpenAck is on its way.
    if (books === undefined) {
      this.#firsts.set(sessionID, reqID)
      return
    }
    const request = books.requests.get(reqID)
    if (request === undefined) return this.complain(`a handler runs for request ${reqID} of session ${sessionID}, which nobody sent`)
    if (request.isStarted) this.complain(`a second handler runs for request ${reqID} of session ${sessionID}`)
    request.isStarted = true
    this.#take(books.client, reqID)
  }

  /** The server takes no new sessions from now on. */
  drain (): void { this.#isDraining = true }

  /** Something worth knowing happened. */
  count (what: string): void { this.seen.set(what, (this.seen.get(what) ?? 0) + 1) }

  complain (what: string): void { this.complaints.push(`turn ${this.#turn}: ${what}`) }

  // --- what goes over the wire

  /** A frame was written. @param unsent bytes written before it that the transport has not taken; undefined when unknown. */
  said (from: Side, message: Message, frameBytes: number, unsent: number | undefined): void {
    const name = TYPE_NAMES[message.type] ?? 'unknown'
    this.count(name)
    switch (message.type) {
      case MsgType.Open: return this.#saidOpen(from, message)
      case MsgType.OpenAck: return this.#saidOpenAck(from, message)
      case MsgType.GoAway:
        if (from === 'client' || message.errCode !== 0) this.complain(`${from} says GoAway ${message.errCode}: ${message.debugData}`)
        if (!this.#isDraining) this.complain('the server says GoAway and does not drain')
        return
      case MsgType.Payload:
      case MsgType.WindowUpdate:
      case MsgType.Close:
      case MsgType.Cancel: {
        const books = this.sessions.get(message.sessionID)
        if (books === undefined) return this.complain(`${from} says ${name} for session ${message.sessionID}, which there is not`)
        this.#checkOver(from, books, message)
        if (message.type === MsgType.Payload) {
          if (unsent !== undefined && unsent >= MAX_UNSENT) this.complain(`${from} begins a Payload while ${unsent} bytes stand unsent`)
          this.#saidPayload(from, books, message, frameBytes)
        } else if (message.type === MsgType.WindowUpdate) this.#saidUpdate(from, books, message)
        else this.#saidEnd(from, books, message)
        break
      }
      default: // of no session
    }
  }

  /** The same frame arrived. */
  heard (by: Side, message: Message, frameBytes: number): void {
    switch (message.type) {
      case MsgType.Open: {
        const pending = this.#opens.get(message.openID)
        if (pending !== undefined) pending.isRefusalDue = this.#isDraining
        return
      }
      case MsgType.GoAway:
        this.#goAwayHeardAt ??= this.#turn
        return
      case MsgType.Payload:
      case MsgType.WindowUpdate:
      case MsgType.Close:
      case MsgType.Cancel: {
        const books = this.sessions.get(message.sessionID)
        if (books === undefined) return
        if (message.type === MsgType.Payload) this.#heardPayload(by, books, message, frameBytes)
        else if (message.type === MsgType.WindowUpdate) books[by].gained += message.bytes
        else this.#heardEnd(by, books, message)
        break
      }
      default: // of no consequence
    }
  }

  // --- what must hold when everything has arrived and nobody has anything to do

  /** The session of a stream. */
  booksOf (call: string): Books | undefined {
    for (const books of this.sessions.values()) if (books.call === call) return books
    return undefined
  }

  /** Sessions that nobody has ended. */
  get living (): Books[] { return [...this.sessions.values()].filter(isLiving) }

  /** Nothing granted is lost. @param isBlocked whether this side of a stream waits with something to send. */
  checkRest (isBlocked: (side: Side, call: string) => boolean): void {
    for (const books of this.sessions.values()) {
      if (books.isCancelHeard && books.overSaid.server === undefined) this.complain(`session ${books.id} was canceled and not closed`)
      if (!isLiving(books)) continue
      for (const side of SIDES) {
        const ledger = books[side]
        const where = `${side} on session ${books.id}`
        const kept = this.#taken(side, books, 'least') - ledger.granted
        if (kept >= ledger.window / 2) this.complain(`${where}: ${kept} bytes were taken and not given back, of a window of ${ledger.window}`)
        if (ledger.credit !== ledger.outstanding) this.complain(`${where}: the sender counts on ${ledger.credit}, the receiver on ${ledger.outstanding}`)
        if (books.type === RpcType.Synchronous || !isBlocked(side, books.call)) continue
        this.count('blocked')
        if (ledger.credit >= Math.min(ledger.window / 2, MAX_CHUNK_COST)) {
          this.complain(`${where} does not send although it has credit of ${ledger.credit}`)
        }
      }
    }
  }

  /** What the receiver of this side's messages took and has not given back; undefined where its windows grow. */
  keptOf (sender: Side, books: Books): number | undefined {
    const ledger = books[sender]
    return this.#options.maxWindow[other(sender)] > ledger.window ? undefined : this.#taken(sender, books, 'least') - ledger.granted
  }

  /** All calls are over: every request has its one answer, all was taken, and only synchronous sessions live on. */
  checkEnd (): void {
    for (const [sessionID, reqID] of this.#firsts) this.complain(`a handler runs for request ${reqID} of session ${sessionID}, which nobody sent`)
    for (const [openID, { open }] of this.#opens) this.complain(`Open ${openID} of ${open.descr.call} was never answered`)
    for (const books of this.living) {
      if (books.type !== RpcType.Synchronous) this.complain(`session ${books.id} of ${books.call} was never closed`)
      for (const [reqID, { isAnswered, answerHeardAt }] of books.requests) {
        if (!isAnswered || answerHeardAt === undefined) this.complain(`request ${reqID} of session ${books.id} was never answered`)
      }
      for (const side of SIDES) {
        const { credit, window, unfinished } = books[side]
        if (unfinished !== undefined && !books.requests.get(unfinished)?.isCanceled) this.complain(`${side} on session ${books.id} never finished message ${unfinished}`)
        if (credit <= window / 2) this.complain(`${side} on session ${books.id} is left with credit of ${credit}, of a window of ${window}`)
      }
    }
  }

  /** The books in a few lines, for who has to find out what happened. */
  toString (): string { return this.living.map(describe).join('\n') }

  // --- said

  #saidOpen (from: Side, open: Open): void {
    if (from !== 'client') return this.complain('the server says Open')
    if (this.#goAwayHeardAt !== undefined && this.#goAwayHeardAt < this.#turn) this.complain('the client opens a session after GoAway')
    if (this.#opens.has(open.openID)) this.complain(`OpenID ${open.openID} is used twice`)
    this.#opens.set(open.openID, { open, isRefusalDue: false })
    if (open.first !== undefined && open.first.payload.byteLength > MAX_CHUNK) this.complain(`First of ${open.first.payload.byteLength} bytes`)
    if (open.first !== undefined) this.count('First')
  }

  #saidOpenAck (from: Side, ack: OpenAck): void {
    const pending = this.#opens.get(ack.openID)
    if (from !== 'server' || pending === undefined) return this.complain(`OpenAck for OpenID ${ack.openID}, which nobody used`)
    this.#opens.delete(ack.openID)
    if (ack.errCode !== 0) {
      if (ack.errCode !== 14 || !pending.isRefusalDue) this.complain(`an Open is refused with ${ack.errCode}: ${ack.error}`)
      return
    }
    const { open } = pending
    const { descr: { call, type }, first } = open
    if (pending.isRefusalDue) this.complain('an Open is accepted by a server that drains')
    if (this.sessions.has(ack.sessionID)) this.complain(`session ${ack.sessionID} is given twice`)
    const isSync = type === RpcType.Synchronous
    const books: Books = {
      id: ack.sessionID,
      call,
      type,
      client: new Ledger(ack.window, first?.endStream === true && !isSync),
      server: new Ledger(open.window, false),
      requests: new Map(),
      overSaid: {},
      overHeard: {},
      isCanceled: false,
      isCancelHeard: false
    }
    this.sessions.set(ack.sessionID, books)
    if (first === undefined || (!isSync && first.payload.byteLength === 0 && first.endStream)) return
    if (isSync) books.requests.set(first.reqID, { isWhole: true, isCanceled: false, hasArrived: true, isStarted: this.#firsts.delete(ack.sessionID), isAnswered: false, answerHeardAt: undefined })
    books.client.arrivals.push({ reqID: first.reqID, isChunked: false, lateAt: Infinity, cost: 0, isWhole: true, isTaken: false })
  }

  /** Who has said the last word, or heard it, says no more; only a Cancel is answered, with a Close. */
  #checkOver (from: Side, books: Books, message: Payload | WindowUpdate | Close | Cancel): void {
    const what = `${from} says ${TYPE_NAMES[message.type]} on session ${books.id}`
    const { [from]: said } = books.overSaid
    const { [from]: heard } = books.overHeard
    if (said !== undefined) this.complain(`${what} after its own last word`)
    else if (heard !== undefined && heard < this.#turn && !(message.type === MsgType.Close && books.isCanceled)) this.complain(`${what}, whose end it has heard`)
  }

  #saidPayload (from: Side, books: Books, payload: Payload, frameBytes: number): void {
    const ledger = books[from]
    const { payload: { byteLength }, reqID, endStream, errCode, more } = payload
    const isSync = books.type === RpcType.Synchronous
    const cost = costOf(books, from, payload, frameBytes)
    const where = `${from} on session ${books.id}`
    if (ledger.hasEnded) this.complain(`${where} says a Payload after EndStream`)
    if (cost > ledger.credit) this.complain(`${where} spends ${cost} of ${ledger.credit}`)
    if (cost > ledger.window / 2) this.complain(`${where} says a frame of ${cost}, more than half of ${ledger.window}`)
    if (byteLength > MAX_CHUNK) this.complain(`${where} says a chunk of ${byteLength} bytes`)
    if (more && (byteLength < MIN_CHUNK || endStream || errCode !== 0)) this.complain(`${where} says a bad chunk: ${byteLength} bytes, ErrCode ${errCode}`)
    if (!isSync && (reqID !== 0 || errCode !== 0)) this.complain(`${where}, a stream, says ReqID ${reqID}, ErrCode ${errCode}`)
    if (ledger.unfinished !== undefined && ledger.unfinished !== reqID && more) this.complain(`${where} has two unfinished messages`)
    const continues = ledger.unfinished === reqID
    if (continues && (payload.compression !== 0 || payload.metadata.length > 0 || payload.deadlineMS !== 0n) && errCode === 0) this.complain(`${where} says what only a first chunk may`)
    ledger.spent += cost
    if (more) ledger.unfinished = reqID
    else if (continues) ledger.unfinished = undefined
    if (more) this.count('More')
    if (endStream && !isSync) ledger.hasEnded = true
    if (!isSync) return
    if (from === 'client') this.#saidRequest(books, payload, continues)
    else this.#saidAnswer(books, payload)
  }

  #saidRequest (books: Books, { reqID, errCode, more }: Payload, continues: boolean): void {
    const where = `request ${reqID} of session ${books.id}`
    const request = books.requests.get(reqID)
    if (reqID === 0 || errCode !== 0) this.complain(`${where} says ErrCode ${errCode}`)
    if (request === undefined || (!continues && request.answerHeardAt !== undefined)) {
      books.requests.set(reqID, { isWhole: !more, isCanceled: false, hasArrived: false, isStarted: false, isAnswered: false, answerHeardAt: undefined })
      return
    }
    if (!continues) this.complain(`${where} is sent while one of this number is unanswered`)
    if (request.isCanceled) this.complain(`${where} goes on after its Cancel`)
    if (request.answerHeardAt !== undefined && request.answerHeardAt < this.#turn) this.complain(`${where} goes on after its answer`)
    request.isWhole = !more
  }

  #saidAnswer (books: Books, { reqID, errCode, more }: Payload): void {
    const request = books.requests.get(reqID)
    if (request === undefined || !request.hasArrived) return this.complain(`the server answers request ${reqID} of session ${books.id}, which it never got`)
    if (request.isAnswered) this.complain(`the server answers request ${reqID} of session ${books.id} twice`)
    if (errCode !== 0 && !this.#options.codes.has(errCode)) this.complain(`request ${reqID} of session ${books.id} is answered with ${errCode}`)
    if (errCode !== 0) this.count('ErrCode')
    if (more) return
    request.isAnswered = true
    // Whether its handler ran or not, nobody will take the request now.
    if (request.isWhole) this.#take(books.client, reqID)
  }

  /** Credit is given back for what was taken, and early only for the one message that has a place. */
  #saidUpdate (from: Side, books: Books, { bytes }: WindowUpdate): void {
    const sender = other(from)
    const ledger = books[sender]
    const where = `${from} on session ${books.id}`
    ledger.granted += bytes
    if (bytes === 0) this.complain(`${where} gives back nothing`)
    const most = Math.max(ledger.window, this.#options.maxWindow[from])
    if (ledger.outstanding > most) this.complain(`${where} grants ${ledger.outstanding}, more than ${most}`)
    if (this.#options.maxWindow[from] > ledger.window) return this.#checkGrowth(from)
    const early = ledger.granted - this.#taken(sender, books)
    if (early <= 0) return
    this.count('early')
    const largest = Math.max(0, ...ledger.arrivals.filter((arrival) => arrival.isChunked && !arrival.isTaken).map(({ cost }) => cost))
    if (early > largest) this.complain(`${where} gives back ${early} for what was not taken, of which ${largest} may have a place`)
    this.#hasPlaced = true
  }

  #checkPlaces (): void {
    if (!this.#hasPlaced) return
    this.#hasPlaced = false
    for (const sender of SIDES) {
      const receiver = other(sender)
      const { [receiver]: maxWindow } = this.#options.maxWindow
      const placed = this.living.filter((books) => books[sender].window >= maxWindow && books[sender].granted > this.#taken(sender, books)).length
      if (placed > this.#options.places[receiver]) this.complain(`${receiver} credits ${placed} messages early, with ${this.#options.places[receiver]} places`)
    }
  }

  #checkGrowth (from: Side): void {
    this.count('growth')
    const { [from]: maxWindow } = this.#options.maxWindow
    let grown = 0
    for (const living of this.living) grown += Math.max(0, living[other(from)].outstanding - living[other(from)].window)
    if (grown > 4 * maxWindow) this.complain(`${from} has let its windows grow by ${grown}`)
  }

  #saidEnd (from: Side, books: Books, message: Close | Cancel): void {
    const where = `${from} on session ${books.id}`
    if (message.type === MsgType.Cancel && message.reqID !== 0) {
      const request = books.requests.get(message.reqID)
      if (from === 'server' || request === undefined) return this.complain(`${where} cancels request ${message.reqID}, which there is not`)
      if (request.isCanceled) this.complain(`${where} cancels request ${message.reqID} twice`)
      request.isCanceled = true
      if (books.client.unfinished === message.reqID) books.client.unfinished = undefined
      return
    }
    books.overSaid[from] = this.#turn
    if (message.type === MsgType.Cancel) {
      books.isCanceled = true
      if (from === 'server') this.complain('the server says Cancel')
      return
    }
    if (!this.#options.codes.has(message.errCode)) this.complain(`${where} says Close ${message.errCode}: ${message.error}`)
    if (from === 'client' || books.isCancelHeard || books.overHeard.server !== undefined) return
    if (message.errCode === 0 && books.server.unfinished !== undefined) this.complain(`${where} ends well inside a message`)
    for (const [reqID, { isStarted, isAnswered }] of books.requests) {
      if (isStarted && !isAnswered) this.complain(`${where} says Close, and request ${reqID} was started and not answered`)
    }
  }

  // --- heard

  #heardPayload (by: Side, books: Books, payload: Payload, frameBytes: number): void {
    const from = other(by)
    const ledger = books[from]
    const { payload: { byteLength }, reqID, errCode, more, endStream, deadlineMS } = payload
    const isSync = books.type === RpcType.Synchronous
    const cost = costOf(books, from, payload, frameBytes)
    ledger.charged += cost
    const request = isSync ? books.requests.get(reqID) : undefined
    if (by === 'server' && request !== undefined) request.hasArrived = true
    if (by === 'client' && request !== undefined && !more) request.answerHeardAt ??= this.#turn
    let arrival = ledger.arrivals.find((arrival) => arrival.reqID === reqID && !arrival.isWhole)
    if (arrival === undefined) {
      // A mark is no message.
      if (!more && byteLength === 0 && (isSync ? errCode !== 0 : endStream)) return
      const lateAt = deadlineMS === 0n ? Infinity : this.#options.now() + Number(deadlineMS)
      ledger.arrivals.push(arrival = { reqID, isChunked: more, lateAt, cost: 0, isWhole: false, isTaken: request?.isAnswered === true && by === 'server' })
    }
    arrival.cost += cost
    if (more) return this.#checkStored(by)
    arrival.isWhole = true
    // A caller has its answer from here on; and what the server has answered already it throws away.
    if (isSync && (by === 'client' || request?.isAnswered === true)) arrival.isTaken = true
    this.#checkStored(by)
  }

  /** More than a window can only be held where there is a place for it. */
  #checkStored (by: Side): void {
    const from = other(by)
    let large = 0
    for (const books of this.living) {
      const most = Math.max(books[from].window, this.#options.maxWindow[by])
      if (books[from].charged - this.#taken(from, books) > most) large++
    }
    if (large > this.#options.places[by]) this.complain(`${by} holds ${large} messages larger than their windows, with ${this.#options.places[by]} places`)
  }

  #heardEnd (by: Side, books: Books, message: Close | Cancel): void {
    if (message.type === MsgType.Close || message.reqID === 0) {
      books.overHeard[by] ??= this.#turn
      if (message.type === MsgType.Cancel) books.isCancelHeard = true
      return
    }
    for (const arrival of books.client.arrivals) if (arrival.reqID === message.reqID) arrival.isTaken = arrival.isWhole = true
  }

  // --- taken

  /**
   * What the receiver of this sender's messages may (or must) have given back by now, growth and places aside. It may
   * look at requests before their handler runs.
   */
  #taken (sender: Side, books: Books, bound: 'most' | 'least' = 'most'): number {
    const { arrivals } = books[sender]
    const isMost = bound === 'most'
    const key = `${other(sender)} ${books.call}`
    if (isMost && (this.#dropped.has(key) || (sender === 'client' && books.isCancelHeard))) return sum(arrivals, () => true)
    if (books.type === RpcType.Synchronous) {
      const now = this.#options.now()
      const { takesEarly } = this.#options
      return sum(arrivals, ({ isTaken, isWhole, lateAt }) => isTaken || (isMost && (lateAt <= now || (takesEarly && isWhole))))
    }
    // A handler that has ended leaves nothing unread, a caller may still wait for the rest of a message.
    if (this.#dropped.has(key)) return sum(arrivals, ({ isWhole }) => isWhole || sender === 'client')
    const pulls = this.#pulls.get(key) ?? 0
    return sum(arrivals, (arrival, at) => (arrival.isTaken ||= at < pulls && arrival.isWhole))
  }

  #take (ledger: Ledger, reqID: number): void {
    for (const arrival of ledger.arrivals) if (arrival.reqID === reqID) arrival.isTaken = true
  }
}

function sum (arrivals: Arrival[], counts: (arrival: Arrival, at: number) => boolean): number {
  let cost = 0
  for (const [at, arrival] of arrivals.entries()) if (counts(arrival, at)) cost += arrival.cost
  return cost
}
