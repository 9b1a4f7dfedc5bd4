/**
 * The other side of a connection, played by a test: it says what it is told to, byte for byte if need be, and every
 * message it hears is looked at in order. A scripted client against our Server, a scripted server against our Client.
 * Time is a FakeClock; nothing here waits for a while, only for turns of the event loop.
 */
import { Client } from '../../lib/client/client.js'
import { Server } from '../../lib/server/server.js'
import type { ServerConn } from '../../lib/server/server-conn.js'
import { memoryPair } from '../../lib/transport/memory.js'
import type { MemoryPairOptions } from '../../lib/transport/memory.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { encodeMessage } from '../../lib/wire/encode.js'
import type { SendableMessage } from '../../lib/wire/encode.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import { Close, Cancel, Descr, GoAway, MsgType, Open, OpenAck, Payload, Ping, Pong, RpcType, WindowUpdate } from '../../lib/wire/message.js'
import type { Message } from '../../lib/wire/message.js'
import { writePackedFrame } from '../../lib/wire/packing.js'
import type { ClientOptions } from '../../types/client-options.js'
import type { ServerOptions } from '../../types/options.js'
import type { Transport, TransportSink } from '../../types/transport.js'
import { FakeClock } from './fake-clock.js'

/** Turns of the event loop after which nothing more is expected to come: quick ones at first, then such of a millisecond, for threads and sockets. */
const QUICK_TURNS = 2000
const PATIENCE_TURNS = QUICK_TURNS + 5000

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
export const str = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** One turn of the event loop, with everything that was queued before. */
export const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** The next turn of somebody who has waited for so many. */
const patientTurn = (waited: number): Promise<void> => waited < QUICK_TURNS ? turn() : new Promise((resolve) => { setTimeout(resolve, 1) })

/** Enough turns for everything that is under way in memory. */
export async function settle (turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await turn()
}

/** Turns until the check holds. */
export async function until (check: () => boolean, what = 'the condition'): Promise<void> {
  for (let i = 0; i < PATIENCE_TURNS; i++) {
    if (check()) return
    await patientTurn(i)
  }
  throw new Error(`${what} did not come true`)
}

type Fields<T> = Partial<Omit<T, 'type'>>
const make = <T extends object>(message: T, fields: Fields<T>): T => Object.assign(message, fields)

/** Messages from the fields that matter. */
export const msg = {
  open: (fields: Omit<Fields<Open>, 'descr'> & { descr?: Partial<Descr> } = {}): Open =>
    make(new Open(), { openID: 1, protocolMajor: 1, protocolMinor: 1, ...fields, descr: make(new Descr(), fields.descr ?? {}) }),
  ack: (fields: Fields<OpenAck> = {}): OpenAck => make(new OpenAck(), { protocolMajor: 1, protocolMinor: 1, ...fields }),
  close: (fields: Fields<Close> = {}): Close => make(new Close(), { sessionID: 1, ...fields }),
  payload: (fields: Fields<Payload> = {}): Payload => make(new Payload(), { sessionID: 1, ...fields }),
  first: (fields: Fields<Payload> = {}): Payload => make(new Payload(), fields),
  cancel: (fields: Fields<Cancel> = {}): Cancel => make(new Cancel(), { sessionID: 1, ...fields }),
  ping: (id: number): Ping => make(new Ping(), { id }),
  pong: (id: number): Pong => make(new Pong(), { id }),
  goAway: (fields: Fields<GoAway> = {}): GoAway => make(new GoAway(), fields),
  update: (sessionID: number, bytes: number): WindowUpdate => make(new WindowUpdate(), { sessionID, bytes })
}

/** Names under which the tests register the four kinds. */
export const names = {
  sync: { package: 'p', service: 'S', call: 'Sync', type: RpcType.Synchronous },
  send: { package: 'p', service: 'S', call: 'Send', type: RpcType.Send },
  recv: { package: 'p', service: 'S', call: 'Recv', type: RpcType.Recv },
  biDir: { package: 'p', service: 'S', call: 'BiDir', type: RpcType.BiDirectional }
} as const

interface MessageOf {
  open: Open
  openAck: OpenAck
  close: Close
  payload: Payload
  cancel: Cancel
  ping: Ping
  pong: Pong
  goAway: GoAway
  windowUpdate: WindowUpdate
}

const TYPES: Record<keyof MessageOf, MsgType> = {
  open: MsgType.Open,
  openAck: MsgType.OpenAck,
  close: MsgType.Close,
  payload: MsgType.Payload,
  cancel: MsgType.Cancel,
  ping: MsgType.Ping,
  pong: MsgType.Pong,
  goAway: MsgType.GoAway,
  windowUpdate: MsgType.WindowUpdate
}

const nameOf = (message: Message): string => Object.entries(TYPES).find(([, type]) => type === message.type)?.[0] ?? 'unknown'

/** Any message as one plain frame. */
export function frameOf (message: SendableMessage): Uint8Array {
  const writer = new ByteWriter()
  encodeMessage(writer, message)
  return writer.take()
}

export class ScriptedPeer implements TransportSink {
  /** Every message heard, and the unpacked size of its frame. */
  readonly heard: { message: Message, frameBytes: number }[] = []
  /** Bytes heard, as they came. */
  readonly bytes: Uint8Array[] = []
  isClosed = false
  closeError: Error | undefined
  /** Types that `next` and `expect` pass over. */
  readonly ignored = new Set<keyof MessageOf>()
  isPacking = false
  /** Whether an OpenAck that grants packing starts it on this side. */
  agreesToPack = false
  #at = 0
  readonly #reader: MessageReader
  readonly transport: Transport

  constructor (transport: Transport) {
    this.transport = transport
    this.#reader = new MessageReader({
      maxFrameBytes: 64 * 1024 * 1024,
      onMessage: (message, frameBytes) => {
        this.heard.push({ message, frameBytes })
        // From the very next frame on, which may be in the same chunk.
        if (this.agreesToPack && message.type === MsgType.OpenAck && message.packing) this.startPacking()
      }
    })
    transport.start(this)
  }

  onData (chunk: Uint8Array): void {
    this.bytes.push(chunk)
    this.#reader.push(chunk)
  }

  onClose (error?: Error): void {
    this.isClosed = true
    this.closeError = error
  }

  /** Frames from the peer may be packed from now on, and ours are. */
  startPacking (): void {
    this.#reader.acceptPacked = this.isPacking = true
  }

  /** Says these messages in one write. */
  send (...messages: SendableMessage[]): void {
    const writer = new ByteWriter()
    for (const message of messages) {
      if (!this.isPacking) encodeMessage(writer, message)
      else {
        const plain = frameOf(message)
        writePackedFrame(writer, plain, 0, plain.length)
      }
    }
    this.sendBytes(writer.take())
  }

  sendBytes (bytes: Uint8Array): void { this.transport.write(bytes, () => {}) }

  /** The next message, whatever it is. */
  async next (): Promise<Message> {
    for (let turns = 0; turns < PATIENCE_TURNS; turns++) {
      while (this.#at < this.heard.length) {
        const { message } = this.heard[this.#at++] as { message: Message }
        if (![...this.ignored].some((name) => TYPES[name] === message.type)) return message
      }
      if (this.isClosed) break
      await patientTurn(turns)
    }
    throw new Error(this.isClosed ? `a message was expected, the connection ended: ${this.closeError?.message ?? 'in good order'}` : 'a message was expected, none came')
  }

  /** The next message, which must be of this type and have these fields. */
  async expect<Name extends keyof MessageOf> (name: Name, fields: Fields<MessageOf[Name]> = {}): Promise<MessageOf[Name]> {
    const message = await this.next()
    if (message.type !== TYPES[name]) throw new Error(`${name} was expected, ${describe(message)} came`)
    for (const [field, wanted] of Object.entries(fields)) {
      const found = (message as unknown as Record<string, unknown>)[field]
      const same = wanted instanceof Uint8Array && found instanceof Uint8Array ? Buffer.compare(wanted, found) === 0 : found === wanted
      if (!same) throw new Error(`${name}.${field} should be ${show(wanted)}: ${describe(message)}`)
    }
    return message as MessageOf[Name]
  }

  /** Nothing more is said, now or after all turns that are under way. */
  async expectSilence (): Promise<void> {
    await settle()
    for (; this.#at < this.heard.length; this.#at++) {
      const { message } = this.heard[this.#at] as { message: Message }
      if (![...this.ignored].some((name) => TYPES[name] === message.type)) throw new Error(`silence was expected, ${describe(message)} came`)
    }
  }

  /** Waits for the end of the connection; everything said before may be looked at afterwards. */
  async expectEnd (): Promise<void> { await until(() => this.isClosed, 'the end of the connection') }

  /** Messages of one type heard so far. */
  all<Name extends keyof MessageOf> (name: Name): MessageOf[Name][] {
    return this.heard.map(({ message }) => message).filter((message) => message.type === TYPES[name]) as unknown as MessageOf[Name][]
  }
}

function show (value: unknown): string {
  if (value instanceof Uint8Array) return value.length > 40 ? `${value.length} bytes` : JSON.stringify(str(value))
  return typeof value === 'bigint' ? `${value}n` : JSON.stringify(value)
}

function describe (message: Message): string {
  const fields = Object.entries(message).filter(([name, value]) => name !== 'type' && name !== 'descr' && value !== 0 && value !== '' && value !== false && value !== undefined)
  return `${nameOf(message)} { ${fields.map(([name, value]) => `${name}: ${value !== null && typeof value === 'object' && !(value instanceof Uint8Array) ? '...' : show(value)}`).join(', ')} }`
}

interface Teardown { teardown (end: () => void | Promise<void>): void }

export interface ScriptedClient { clock: FakeClock, server: Server, conn: ServerConn, peer: ScriptedPeer }

/** A server whose client is played by the test. */
export function scriptedClient (t: Teardown, options: ServerOptions = {}, register: (server: Server) => void = () => {}, memory: MemoryPairOptions = {}): ScriptedClient {
  const clock = new FakeClock()
  const server = new Server(options, { clock })
  register(server)
  return { ...attach(t, server, memory), clock }
}

/** One more connection to a server, with a client played by the test. */
export function attach (t: Teardown, server: Server, memory: MemoryPairOptions = {}): { server: Server, conn: ServerConn, peer: ScriptedPeer } {
  const [here, there] = memoryPair(memory)
  const conn = server.connect(here)
  const peer = new ScriptedPeer(there)
  t.teardown(() => { there.destroy() })
  return { server, conn, peer }
}

export interface ScriptedServer { clock: FakeClock, client: Client, peer: ScriptedPeer }

/** A client whose server is played by the test. */
export function scriptedServer (t: Teardown, options: ClientOptions = {}, memory: MemoryPairOptions = {}): ScriptedServer {
  const clock = new FakeClock()
  const [here, there] = memoryPair(memory)
  const client = new Client(here, options, clock)
  const peer = new ScriptedPeer(there)
  t.teardown(() => { there.destroy() })
  return { clock, client, peer }
}

/** What a promise became, so far. */
export interface Outcome<T> { value?: T, error?: Error & { category?: number, code?: string }, isSettled: boolean }

/** Watches a promise, which then is no unhandled rejection. Undefined stands for what is done already, as Outbox.send answers it. */
export function watch<T> (promise: Promise<T> | undefined): Outcome<T> {
  const outcome: Outcome<T> = { isSettled: promise === undefined }
  promise?.then(
    (value) => { Object.assign(outcome, { value, isSettled: true }) },
    (error: Error) => { Object.assign(outcome, { error, isSettled: true }) }
  )
  return outcome
}

/** A promise and its ends. */
export function deferred<T = void> (): { promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  return { promise, resolve, reject }
}
