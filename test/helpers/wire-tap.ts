/**
 * Listens on a connection between our own client and server, and keeps the books of flow control as an auditor would:
 * from nothing but the frames. Complains of any frame that the rules of protocol 1.1, section 3, do not allow.
 */
import { MessageReader } from '../../lib/wire/message-reader.js'
import { MsgType, RpcType } from '../../lib/wire/message.js'
import type { Message, Open, Payload } from '../../lib/wire/message.js'
import type { Transport } from '../../types/transport.js'

const MIN_WINDOW = 128 * 1024
const effective = (announced: number): number => Math.min(Math.max(announced, MIN_WINDOW), 0x7fffffff)

/** One direction of one session. */
interface Book {
  /** The announced window. */
  window: number
  /** What the sender may still spend. */
  credit: number
  /** Spent, and given back, all in all. */
  spent: number
  returned: number
  /** Reassembly: whether a message is unfinished, of which request. */
  unfinished: number | undefined
  ended: boolean
}

interface SessionBooks { type: number, client: Book, server: Book, closed: boolean }

type Side = 'client' | 'server'

export class WireTap {
  readonly sessions = new Map<number, SessionBooks>()
  readonly complaints: string[] = []
  /** Frames heard, by type. */
  readonly frames = new Map<number, number>()
  readonly #opens = new Map<number, Open>()

  /** The client's transport, overheard in both directions. */
  overhear (transport: Transport): Transport {
    const out = this.#reader('client')
    const back = this.#reader('server')
    return {
      remoteAddress: transport.remoteAddress,
      start (sink) {
        transport.start({
          onData (chunk) {
            back.push(new Uint8Array(chunk))
            sink.onData(chunk)
          },
          onClose (error) { sink.onClose(error) }
        })
      },
      write (chunk, done) {
        out.push(new Uint8Array(chunk))
        transport.write(chunk, done)
      },
      pause () { transport.pause() },
      resume () { transport.resume() },
      close () { transport.close() },
      destroy (error) { transport.destroy(error) }
    }
  }

  #reader (side: Side): MessageReader {
    return new MessageReader({ maxFrameBytes: 1 << 26, onMessage: (message, frameBytes) => { this.#hear(side, message, frameBytes) } })
  }

  #hear (from: Side, message: Message, frameBytes: number): void {
    this.frames.set(message.type, (this.frames.get(message.type) ?? 0) + 1)
    switch (message.type) {
      case MsgType.Open:
        this.#opens.set(message.openID, message)
        break
      case MsgType.OpenAck: {
        const open = this.#opens.get(message.openID)
        if (message.errCode !== 0 || open === undefined) return
        const endsInFirst = open.first?.endStream === true && open.descr.type !== RpcType.Synchronous
        this.sessions.set(message.sessionID, {
          type: open.descr.type,
          client: bookOf(message.window, endsInFirst),
          server: bookOf(open.window, false),
          closed: false
        })
        break
      }
      case MsgType.Payload: return this.#payload(from, message, frameBytes)
      case MsgType.WindowUpdate: {
        const books = this.sessions.get(message.sessionID)
        if (books === undefined) return this.#complain(`WindowUpdate for session ${message.sessionID}`)
        const book = books[from === 'client' ? 'server' : 'client']
        book.credit += message.bytes
        book.returned += message.bytes
        if (book.credit > 0x7fffffff) this.#complain('more credit than there may be')
        break
      }
      case MsgType.Close:
      case MsgType.Cancel: {
        const books = this.sessions.get(message.sessionID)
        if (books === undefined) return this.#complain(`Close or Cancel for session ${message.sessionID}`)
        if (message.type === MsgType.Close || message.reqID === 0) books.closed = true
        else if (books.client.unfinished === message.reqID) books.client.unfinished = undefined
        break
      }
      default:
    }
  }

  #payload (from: Side, payload: Payload, frameBytes: number): void {
    const books = this.sessions.get(payload.sessionID)
    if (books === undefined) return this.#complain(`Payload for session ${payload.sessionID}`)
    const book = books[from]
    const isSync = books.type === RpcType.Synchronous
    const { payload: { byteLength }, endStream, errCode, more, reqID, metadata } = payload
    const isFree = byteLength === 0 && (isSync ? errCode !== 0 && from === 'server' : endStream && metadata.length === 0)
    const cost = isFree ? 0 : frameBytes + 64
    const where = `${from} on session ${payload.sessionID}`
    if (book.ended) this.#complain(`${where} goes on after its end`)
    if (cost > book.credit) this.#complain(`${where} spends ${cost} of ${book.credit}`)
    if (cost > book.window / 2) this.#complain(`${where} sends a frame of ${cost}, more than half of ${book.window}`)
    if (byteLength > 64 * 1024) this.#complain(`${where} sends a chunk of ${byteLength}`)
    if (more && (byteLength < 4096 || endStream || errCode !== 0)) this.#complain(`${where} sends a bad chunk`)
    if (book.unfinished !== undefined && reqID !== book.unfinished && more) this.#complain(`${where} has two unfinished messages`)
    book.credit -= cost
    book.spent += cost
    if (more) book.unfinished = reqID
    else if (book.unfinished === reqID) book.unfinished = undefined
    if (endStream && !isSync) book.ended = true
  }

  #complain (what: string): void { this.complaints.push(what) }
}

function bookOf (announced: number, ended: boolean): Book {
  const window = effective(announced)
  return { window, credit: window, spent: 0, returned: 0, unfinished: undefined, ended }
}
