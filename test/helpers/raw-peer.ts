/** A peer over a real socket that says exactly what it is told to, right or wrong, and remembers what it heard. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { encodeMessage } from '../../lib/wire/encode.js'
import type { SendableMessage } from '../../lib/wire/encode.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import { Cancel, Descr, MsgType, Open, PROTOCOL_MAJOR, Payload } from '../../lib/wire/message.js'
import type { GoAway, Message, OpenAck, Close } from '../../lib/wire/message.js'

export class RawPeer {
  readonly heard: Message[] = []
  readonly socket: Socket
  isClosed = false
  #waiting: (() => void)[] = []
  #lastOpenID = 0
  readonly #reader: MessageReader

  constructor (port: number) {
    this.#reader = new MessageReader({ maxFrameBytes: 1 << 26, onMessage: (message) => { this.heard.push(message) } })
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (bytes) => {
      this.#reader.push(new Uint8Array(bytes))
      this.#wake()
    })
    this.socket.on('error', () => { /* resets are part of the game */ })
    this.socket.on('close', () => {
      this.isClosed = true
      this.#wake()
    })
  }

  /** Resolves when the check holds or the connection is over. */
  async until (check: () => boolean): Promise<void> {
    while (!check() && !this.isClosed) await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
  }

  async closed (): Promise<void> { await this.until(() => false) }

  bytes (bytes: Uint8Array): void { this.socket.write(bytes) }

  say (...messages: SendableMessage[]): void {
    const writer = new ByteWriter()
    for (const message of messages) encodeMessage(writer, message)
    this.socket.write(writer.take())
  }

  /** Opens a session and waits for its number; 0 when it was refused. */
  async open (call: string, type: number, change: (open: Open) => void = () => {}): Promise<OpenAck> {
    const message = this.openMessage(call, type)
    change(message)
    this.say(message)
    let ack: OpenAck | undefined
    await this.until(() => (ack = this.heard.find((heard): heard is OpenAck => heard.type === MsgType.OpenAck && heard.openID === message.openID)) !== undefined)
    if (ack === undefined) throw new Error('the connection ended before the OpenAck')
    return ack
  }

  openMessage (call: string, type: number, minor: 0 | 1 = 1): Open {
    const open = new Open()
    open.openID = ++this.#lastOpenID
    open.descr = Object.assign(new Descr(), { package: 'fault', service: 'S', call, type })
    open.protocolMajor = PROTOCOL_MAJOR
    open.protocolMinor = minor
    return open
  }

  goAway (): GoAway | undefined { return this.heard.find((message): message is GoAway => message.type === MsgType.GoAway) }
  closeOf (sessionID: number): Close | undefined {
    return this.heard.find((message): message is Close => message.type === MsgType.Close && message.sessionID === sessionID)
  }

  destroy (): void { this.socket.destroy() }

  #wake (): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

export function payload (sessionID: number, bytes: Uint8Array, fields: Partial<Payload> = {}): Payload {
  return Object.assign(new Payload(), { sessionID, payload: bytes, ...fields })
}

export function cancel (sessionID: number, reqID = 0): Cancel { return Object.assign(new Cancel(), { sessionID, reqID }) }
