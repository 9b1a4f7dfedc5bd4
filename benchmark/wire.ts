/**
 * What the wire room costs per message: encode, decode, pack, unpack. Each run does a thousand messages, as a busy
 * connection does in one turn of the event loop. Part of `npm run bench`.
 */
import { NO_METADATA } from '../lib/metadata.js'
import { ByteWriter } from '../lib/wire/byte-writer.js'
import type { ByteAllocator } from '../lib/wire/byte-writer.js'
import { decodeMessage } from '../lib/wire/decode.js'
import { encodeMessage, writePayload } from '../lib/wire/encode.js'
import type { SendableMessage } from '../lib/wire/encode.js'
import { MessageReader } from '../lib/wire/message-reader.js'
import { Cancel, Open, OpenAck, Payload, Ping } from '../lib/wire/message.js'
import { pack, unpack } from '../lib/wire/packing.js'

const MESSAGES = 1000

/** Adds one measurement: what a run does, and how many messages that are. */
export type AddBench = (name: string, messages: number, run: () => unknown) => void

/** Like the connection's batch: one buffer, used again and again. */
const pooled: ByteAllocator = (() => {
  let free: Uint8Array = new Uint8Array(4 << 20)
  return {
    allocate: (minBytes) => free.length >= minBytes ? free : new Uint8Array(minBytes),
    release: (bytes) => { free = new Uint8Array(bytes.buffer) }
  }
})()

let sink = 0

function content (size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => i * 31 % 256)
}

function payloadOf (size: number): Payload {
  const payload = new Payload()
  payload.sessionID = 7
  payload.reqID = 1234
  payload.payload = content(size)
  return payload
}

function openOf (): Open {
  const open = new Open()
  open.openID = 3
  open.descr.package = 'example'
  open.descr.service = 'Greeter'
  open.descr.call = 'SayHello'
  open.descr.type = 1
  open.protocolMajor = 1
  open.protocolMinor = 1
  open.deadlineMS = 5000n
  open.maxPayloadSize = 4 << 20
  open.metadata = [{ key: 'authorization', value: content(24) }]
  open.first = payloadOf(16)
  open.first.sessionID = 0
  open.window = 256 << 10
  return open
}

function ackOf (): OpenAck {
  const ack = new OpenAck()
  ack.openID = 3
  ack.sessionID = 4
  ack.protocolMajor = ack.protocolMinor = 1
  ack.window = 256 << 10
  return ack
}

function streamOf (message: SendableMessage): Uint8Array {
  const writer = new ByteWriter()
  for (let i = 0; i < MESSAGES; i++) encodeMessage(writer, message)
  return writer.take()
}

/** Adds the measurements of this room. Answers a function that fails when they did nothing. */
export function addWire (add: AddBench): () => void {
  for (const size of [16, 1024]) {
    const bytes = content(size)
    add(`encode payload ${size} B`, MESSAGES, () => {
      const writer = new ByteWriter(pooled)
      for (let i = 0; i < MESSAGES; i++) writePayload(writer, 7, i, bytes, 0, size, false, 0, NO_METADATA, false)
      sink += writer.position
      writer.discard()
    })
    const message = payloadOf(size)
    add(`encode payload ${size} B by table`, MESSAGES, () => {
      const writer = new ByteWriter(pooled)
      for (let i = 0; i < MESSAGES; i++) encodeMessage(writer, message)
      sink += writer.position
      writer.discard()
    })
  }

  const others: Array<[string, SendableMessage]> = [
    ['payload 16 B', payloadOf(16)], ['payload 1024 B', payloadOf(1024)],
    ['open', openOf()], ['openack', ackOf()], ['cancel', new Cancel()], ['ping', new Ping()]
  ]
  for (const [name, message] of others) {
    const stream = streamOf(message)
    add(`decode ${name}`, MESSAGES, () => {
      const reader = new MessageReader({ maxFrameBytes: 1 << 20, onMessage: (_, frameBytes) => { sink += frameBytes } })
      reader.push(stream)
    })
    if (message instanceof Payload) continue
    add(`encode ${name}`, MESSAGES, () => {
      const writer = new ByteWriter(pooled)
      for (let i = 0; i < MESSAGES; i++) encodeMessage(writer, message)
      sink += writer.position
      writer.discard()
    })
  }

  const singles = Array.from({ length: MESSAGES }, () => streamOf(payloadOf(16)).slice(0, 72))
  add('decode payload 16 B, each in a chunk of its own', MESSAGES, () => {
    const reader = new MessageReader({ maxFrameBytes: 1 << 20, onMessage: (_, frameBytes) => { sink += frameBytes } })
    for (const chunk of singles) reader.push(chunk)
  })

  for (const [name, message] of [others[0], others[1], others[2]] as Array<[string, SendableMessage]>) {
    const writer = new ByteWriter()
    encodeMessage(writer, message)
    const frame = writer.take()
    pack(writer, frame)
    const block = writer.take()
    add(`pack ${name}`, MESSAGES, () => {
      const out = new ByteWriter(pooled)
      for (let i = 0; i < MESSAGES; i++) pack(out, frame)
      sink += out.position
      out.discard()
    })
    add(`unpack ${name}`, MESSAGES, () => {
      for (let i = 0; i < MESSAGES; i++) sink += unpack(block, 0, block.length, 1 << 20).length
    })
  }
  return () => { if (sink === 0 || decodeMessage(singles[0] as Uint8Array).type === 0) throw new Error('nothing was encoded or decoded') }
}
