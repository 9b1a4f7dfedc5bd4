/**
 * The least an RPC can be: four bytes of head (what it is in the top four bits, the number of the call below), then
 * the payload. raw-ws, raw-ws-batch and fastify-ws speak it; only their transport differs.
 */
import { Buffer } from 'node:buffer'
import { Lead, PushQueue, asBuffer, message, produce } from './messages.mjs'

const UNARY = 0
const DOWN_START = 1
const DOWN = 2
const DOWN_END = 3
const UP = 4
const UP_END = 5
const BIDI = 6
const BIDI_END = 7

/** Bytes that may wait in the socket before a producer waits. */
const HIGH_WATER = 1 << 20

const NOTHING = new Uint8Array(0)
const u32 = (bytes, at) => ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0

function putU32 (bytes, value, at) {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** What a server does with a message. */
export function serve (transport) {
  const totals = new Map()
  async function stream (id, count, size) {
    for (let i = 0; i < count; i++) {
      transport.send(DOWN, id, produce(i, size))
      if (transport.isFull()) await transport.drained()
      if (transport.isClosed()) return
    }
    transport.send(DOWN_END, id, NOTHING)
  }
  return (bytes) => {
    const id = u32(bytes, 0) & 0x0fffffff
    switch (bytes[0] >>> 4) {
      case DOWN_START:
        stream(id, u32(bytes, 4), u32(bytes, 8))
        break
      case UP:
        totals.set(id, (totals.get(id) ?? 0) + bytes.length - 4)
        break
      case UP_END: {
        const total = Buffer.allocUnsafe(8)
        total.writeDoubleBE(totals.get(id) ?? 0)
        totals.delete(id)
        transport.send(UNARY, id, total)
        break
      }
      default:
        transport.echo(bytes)
    }
  }
}

/** A client over a transport, and what it does with a message. */
export function makeClient (transport, close) {
  let last = 0
  const calls = new Map()
  const nextId = () => (last = (last + 1) & 0x0fffffff)
  const done = (id) => {
    const call = calls.get(id)
    calls.delete(id)
    return call
  }
  const onMessage = (bytes) => {
    const id = u32(bytes, 0) & 0x0fffffff
    switch (bytes[0] >>> 4) {
      case UNARY: return done(id)(bytes.subarray(4))
      case DOWN: return calls.get(id).push(bytes.subarray(4))
      case BIDI: return calls.get(id).take(bytes.subarray(4))
      default: done(id).end()
    }
  }
  const client = {
    unary (bytes) {
      return new Promise((resolve) => {
        const id = nextId()
        calls.set(id, resolve)
        transport.send(UNARY, id, bytes)
      })
    },
    serverStream (count, size) {
      const id = nextId()
      const queue = new PushQueue()
      const what = new Uint8Array(8)
      calls.set(id, queue)
      putU32(what, count, 0)
      putU32(what, size, 4)
      transport.send(DOWN_START, id, what)
      return queue
    },
    async clientStream (count, size) {
      const id = nextId()
      for (let i = 0; i < count; i++) {
        transport.send(UP, id, message(i, size))
        if (transport.isFull()) await transport.drained()
      }
      const total = await new Promise((resolve) => {
        calls.set(id, resolve)
        transport.send(UP_END, id, NOTHING)
      })
      return asBuffer(total).readDoubleBE(0)
    },
    async bidi (count, size, take) {
      const id = nextId()
      const lead = new Lead(size)
      const ended = new Promise((resolve) => {
        calls.set(id, {
          take (bytes) {
            lead.giveBack()
            take(bytes)
          },
          end: resolve
        })
      })
      for (let i = 0; i < count; i++) {
        const room = lead.take()
        if (room !== undefined) await room
        transport.send(BIDI, id, message(i, size))
        if (transport.isFull()) await transport.drained()
      }
      transport.send(BIDI_END, id, NOTHING)
      await ended
    },
    close
  }
  return { client, onMessage }
}

function drained (socket) {
  return new Promise((resolve) => {
    const stream = socket._socket
    if (stream?.writableNeedDrain !== true || stream.destroyed) setImmediate(resolve)
    else {
      const settle = () => {
        stream.off('drain', settle)
        stream.off('close', settle)
        resolve()
      }
      stream.on('drain', settle)
      stream.on('close', settle)
    }
  })
}

/** One WebSocket message for each message. */
export function singly (socket) {
  return {
    send (kind, id, payload) {
      const bytes = Buffer.allocUnsafe(4 + payload.length)
      putU32(bytes, kind << 28 | id, 0)
      bytes.set(payload, 4)
      socket.send(bytes)
    },
    echo (bytes) { socket.send(bytes) },
    isFull: () => socket.bufferedAmount > HIGH_WATER,
    drained: () => drained(socket),
    isClosed: () => socket.readyState > 1
  }
}

const SLAB_BYTES = 256 * 1024
const FLUSH_BYTES = 64 * 1024
/** All connections of the process write into one slab; the part of one is flushed before another begins. */
const slab = { bytes: Buffer.allocUnsafeSlow(SLAB_BYTES), start: 0, end: 0, flush: undefined }

/** All messages of one turn of the event loop, up to 64 KiB, in one WebSocket message: [length][head][payload]... */
export function batched (socket) {
  let isQueued = false
  const flush = () => {
    isQueued = false
    if (slab.flush !== flush || slab.end === slab.start) return
    const part = slab.bytes.subarray(slab.start, slab.end)
    slab.start = slab.end
    socket.send(part)
  }
  const put = (headBytes, kind, id, payload) => {
    const length = headBytes + payload.length
    if (slab.flush !== flush) {
      slab.flush?.()
      slab.flush = flush
    }
    if (slab.bytes.length - slab.end < 4 + length) {
      flush()
      slab.bytes = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 4 + length))
      slab.start = slab.end = 0
    }
    putU32(slab.bytes, length, slab.end)
    if (headBytes > 0) putU32(slab.bytes, kind << 28 | id, slab.end + 4)
    slab.bytes.set(payload, slab.end + 4 + headBytes)
    slab.end += 4 + length
    if (slab.end - slab.start >= FLUSH_BYTES) flush()
    else if (!isQueued) {
      isQueued = true
      process.nextTick(flush)
    }
  }
  return {
    send (kind, id, payload) { put(4, kind, id, payload) },
    echo (bytes) { put(0, 0, 0, bytes) },
    isFull: () => socket.bufferedAmount + (slab.flush === flush ? slab.end - slab.start : 0) > HIGH_WATER,
    drained () {
      flush()
      return drained(socket)
    },
    isClosed: () => socket.readyState > 1
  }
}

/** The messages of a batch, one by one. */
export function unbatch (bytes, onMessage) {
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + u32(bytes, at)
    onMessage(bytes.subarray(at + 4, end))
    at = end
  }
}
