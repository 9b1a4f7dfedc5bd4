/**
 * A peer over a socket of its own that speaks WebSocket and Claw by hand, so that it can stop, break off or lie
 * anywhere. What it is answered it counts by kind and code.
 */
import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { load } from './dist.mjs'

const { categoryName } = await load('errors.js')
const { ByteWriter } = await load('wire/byte-writer.js')
const { encodeMessage } = await load('wire/encode.js')
const { Cancel, Close, Descr, MsgType, Open, PROTOCOL_MAJOR, PROTOCOL_MINOR, Payload } = await load('wire/message.js')
const { MessageReader } = await load('wire/message-reader.js')

export const UPGRADE = 'GET /rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n'
const MASK = [0x5a, 0xc3, 0x17, 0x88]
const CLOSE_FRAME = 8

export class RawPeer {
  /** Told each message of the server, after it was counted. */
  onMessage = () => {}
  isOpen = false
  isClosed = false
  #waiting = []
  #inbound = Buffer.alloc(0)
  #wasTold = false
  #count
  #reader = new MessageReader({ maxFrameBytes: 1 << 26, onMessage: (message) => { this.#handleMessage(message) } })

  /** @param count told a label for each thing that the server answers. @param upgrades whether to become a WebSocket at once. */
  constructor (port, count, upgrades = true) {
    this.#count = count
    this.socket = connect(port, '127.0.0.1')
    this.socket.setNoDelay(true)
    this.socket.on('data', (bytes) => { this.#handleData(bytes) })
    this.socket.on('drain', () => { this.#wake() })
    this.socket.on('error', (error) => { if (!this.#wasTold) this.#tell(`socket ${error.code}`) })
    this.socket.on('close', () => {
      this.isClosed = true
      this.#wake()
    })
    if (upgrades) this.socket.write(UPGRADE)
  }

  /** Resolves when the check holds or the connection is over; answers which of them. */
  async until (check) {
    while (!check() && !this.isClosed) await new Promise((resolve) => { this.#waiting.push(resolve) })
    return !this.isClosed
  }

  opened () { return this.until(() => this.isOpen) }

  /** Opens a session and waits for its number; 0 when there is none. */
  async open (call, type, fields) {
    let ack
    const { onMessage } = this
    this.onMessage = (message) => { if (message.type === MsgType.OpenAck) ack = message }
    this.write(frames(open(call, type, fields)))
    await this.until(() => ack !== undefined)
    this.onMessage = onMessage
    return ack?.sessionID ?? 0
  }

  write (bytes) { return this.socket.write(bytes) }

  /** Resolves when more may be written: at the next turn, so that other peers have theirs, or when the kernel takes some. */
  async room () {
    if (this.socket.writableNeedDrain) await this.until(() => !this.socket.writableNeedDrain)
    else await turn()
  }

  /** The last answer that is counted has been: what follows is our own doing. */
  leave (how) {
    this.#wasTold = true
    this.socket[how]()
  }

  #tell (label) {
    this.#wasTold = true
    this.#count(label)
  }

  #wake () {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  #handleData (bytes) {
    this.#inbound = this.#inbound.length === 0 ? bytes : Buffer.concat([this.#inbound, bytes])
    if (!this.isOpen && !this.#handleHead()) return
    while (this.#handleFrame());
    this.#wake()
  }

  #handleHead () {
    const end = this.#inbound.indexOf('\r\n\r\n')
    if (end < 0) return false
    const status = this.#inbound.toString('latin1', 9, 12)
    this.#inbound = this.#inbound.subarray(end + 4)
    this.isOpen = status === '101'
    if (!this.isOpen) this.#tell(`HTTP ${status}`)
    return this.isOpen
  }

  /** A server masks nothing and `ws` fragments nothing. */
  #handleFrame () {
    const bytes = this.#inbound
    if (bytes.length < 2) return false
    const short = bytes[1] & 0x7f
    const head = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < head) return false
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
    if (bytes.length < head + length) return false
    const content = bytes.subarray(head, head + length)
    this.#inbound = bytes.subarray(head + length)
    const opcode = bytes[0] & 0x0f
    if (opcode === CLOSE_FRAME) this.#tell(`WebSocket ${length >= 2 ? content.readUInt16BE(0) : 'close'}`)
    else if (opcode < CLOSE_FRAME) this.#reader.push(new Uint8Array(content))
    return true
  }

  #handleMessage (message) {
    const label = labelOf(message)
    if (label !== undefined) this.#count(label)
    this.onMessage(message)
  }
}

function labelOf (message) {
  const code = () => categoryName(message.errCode)
  switch (message.type) {
    case MsgType.OpenAck: return `OpenAck ${code()}`
    case MsgType.Payload: return message.reqID === 0 ? undefined : `answer ${code()}`
    case MsgType.Close: return `Close ${code()}`
    case MsgType.Pong: return 'Pong'
    case MsgType.GoAway: return `GoAway ${code()} (${message.debugData})`
    default: return undefined
  }
}

// --- what it says

export function open (call, type, fields = {}) {
  const descr = Object.assign(new Descr(), { package: 'fault', service: 'S', call, type })
  return Object.assign(new Open(), { openID: 1, descr, protocolMajor: PROTOCOL_MAJOR, protocolMinor: PROTOCOL_MINOR, ...fields })
}

export const payload = (sessionID, bytes, fields = {}) => Object.assign(new Payload(), { sessionID, payload: bytes, ...fields })
export const cancel = (sessionID, reqID = 0) => Object.assign(new Cancel(), { sessionID, reqID })
export const close = (sessionID) => Object.assign(new Close(), { sessionID })

/** These messages in one WebSocket message, as bytes for the socket. */
export function frames (...messages) {
  const writer = new ByteWriter()
  for (const message of messages) encodeMessage(writer, message)
  return webSocketFrame(writer.take())
}

/** One masked binary WebSocket message. */
export function webSocketFrame (content) {
  const { length } = content
  const head = length < 126 ? [0x82, 0x80 | length] : length < 65536 ? [0x82, 0xfe, length >> 8, length & 0xff] : [0x82, 0xff, 0, 0, 0, 0, ...u32(length)]
  const frame = Buffer.allocUnsafe(head.length + MASK.length + length)
  frame.set(head)
  frame.set(MASK, head.length)
  const start = head.length + MASK.length
  for (let i = 0; i < length; i++) frame[start + i] = content[i] ^ MASK[i & 3]
  return frame
}

function u32 (value) { return [value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff] }
