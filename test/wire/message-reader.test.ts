import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { ErrorCode, ProtocolError } from '../../lib/errors.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { OpenAck, Payload, Ping } from '../../lib/wire/message.js'
import type { Message } from '../../lib/wire/message.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import { writePackedFrame } from '../../lib/wire/packing.js'
import { fromHex } from '../conformance/data.js'
import { cut, fractions, frameOf, joined, messages } from './arbitraries.js'
import { u64 } from './naive-pack.js'

const MAX_FRAME_BYTES = 1 << 16

interface Read { messages: Message[], sizes: number[], reader: MessageReader }

function newReader (maxFrameBytes = MAX_FRAME_BYTES, onMessage: (message: Message, reader: MessageReader) => void = () => {}): Read {
  const read: Read = {
    messages: [],
    sizes: [],
    reader: new MessageReader({
      maxFrameBytes,
      onMessage: (message, frameBytes) => {
        read.messages.push(message)
        read.sizes.push(frameBytes)
        onMessage(message, read.reader)
      }
    })
  }
  return read
}

function ping (id: number): Ping {
  return Object.assign(new Ping(), { id })
}

function payload (size: number): Payload {
  return Object.assign(new Payload(), { sessionID: 1, payload: new Uint8Array(size).fill(7) })
}

function packedOf (frame: Uint8Array): Uint8Array {
  const writer = new ByteWriter()
  writePackedFrame(writer, frame)
  return writer.take()
}

const streams = fc.array(fc.tuple(messages, fc.boolean()), { minLength: 1, maxLength: 6 })

t.test('any split of a stream yields the same messages, plain and packed', t => {
  fc.assert(fc.property(streams, fractions, fc.boolean(), (parts, fractions, acceptPacked) => {
    const frames = parts.map(([message]) => frameOf(message))
    const stream = joined(frames.map((frame, i) => acceptPacked && parts[i]?.[1] === true ? packedOf(frame) : frame))
    const { messages, sizes, reader } = newReader()
    reader.acceptPacked = acceptPacked
    let arrived = 0
    for (const chunk of cut(stream, fractions)) {
      reader.push(chunk)
      arrived += chunk.length
      if (reader.heldBytes > Math.max(64, 2 * arrived)) return false
    }
    return !reader.isMidFrame && reader.heldBytes === 0 && isDeepStrictEqual(sizes, frames.map(({ length }) => length)) &&
      isDeepStrictEqual(messages, parts.map(([message]) => message))
  }), { numRuns: 3000 })
  t.end()
})

t.test('split at every byte, and into single bytes', t => {
  const sent = [ping(1), payload(100), ping(2)]
  for (const acceptPacked of [false, true]) {
    const stream = joined(sent.map((message) => acceptPacked ? packedOf(frameOf(message)) : frameOf(message)))
    for (let at = 0; at <= stream.length; at++) {
      const { messages, reader } = newReader()
      reader.acceptPacked = acceptPacked
      reader.push(stream.slice(0, at))
      reader.push(stream.slice(at))
      t.strictSame(messages, sent, `at ${at}`)
    }
    const { messages, reader } = newReader()
    reader.acceptPacked = acceptPacked
    for (const byte of stream) reader.push(Uint8Array.of(byte))
    t.strictSame(messages, sent, 'single bytes')
  }
  t.end()
})

t.test('whole frames are not copied, gathered ones have memory of their own', t => {
  const chunk = joined([frameOf(payload(32)), frameOf(payload(32)), frameOf(payload(32))])
  const { messages, reader } = newReader()
  reader.push(chunk)
  t.ok(messages.every((message) => (message as Payload).payload.buffer === chunk.buffer))

  const gathered = newReader()
  for (const piece of cut(chunk, [0.2, 0.5, 0.8])) gathered.reader.push(piece)
  t.strictSame(gathered.messages, messages, 'later frames left the earlier ones alone')
  t.end()
})

t.test('isMidFrame and heldBytes tell of the frame that is not whole', t => {
  const { messages, reader } = newReader()
  const frame = frameOf(payload(1000))
  t.notOk(reader.isMidFrame)
  reader.push(frame.slice(0, 3))
  t.ok(reader.isMidFrame)
  reader.push(frame.slice(3, 700))
  t.ok(reader.isMidFrame)
  t.ok(reader.heldBytes >= 700 && reader.heldBytes <= frame.length)
  reader.push(frame.slice(700))
  t.notOk(reader.isMidFrame)
  t.equal(reader.heldBytes, 0)
  t.equal(messages.length, 1)
  t.end()
})

t.test('memory follows what arrives, not what is announced', t => {
  const size = 1 << 30
  const { reader } = newReader(size)
  reader.push(fromHex('00000e0000004000 0000060400000000'))
  t.ok(reader.heldBytes <= 64)
  reader.push(new Uint8Array(1000))
  t.ok(reader.heldBytes <= 2100)
  const packed = newReader(size)
  packed.reader.acceptPacked = true
  packed.reader.push(Uint8Array.from([...u64(size), ...u64(size), 0, 255]))
  t.ok(packed.reader.heldBytes <= 64)
  t.end()
})

t.test('the limit is checked on what is announced', t => {
  const frame = frameOf(payload(100))
  const { messages, reader } = newReader(frame.length)
  reader.push(frame)
  t.equal(messages.length, 1, 'just so large')
  reader.maxFrameBytes--
  t.throws(() => reader.push(frame.slice(0, 8)), { code: ErrorCode.FRAME_TOO_LARGE, scope: 'connection' })

  const packed = newReader(frame.length - 1)
  packed.reader.acceptPacked = true
  t.throws(() => packed.reader.push(packedOf(frame).slice(0, 16)), { code: ErrorCode.FRAME_TOO_LARGE })

  const changing = newReader(frame.length, (_, reader) => { reader.maxFrameBytes = 8 })
  t.throws(() => changing.reader.push(joined([frame, frame])), { code: ErrorCode.FRAME_TOO_LARGE }, 'changed from inside onMessage')
  t.equal(changing.messages.length, 1)
  t.end()
})

t.test('packing counts for the very next frame once it is agreed inside onMessage', t => {
  const agree = (message: Message, reader: MessageReader): void => { if (message instanceof OpenAck) reader.acceptPacked = true }
  const sent = [ping(1), new OpenAck(), ping(2), ping(3), ping(4)]
  const stream = joined(sent.map((message, i) => i === 2 || i === 4 ? packedOf(frameOf(message)) : frameOf(message)))
  for (let at = 0; at <= stream.length; at++) {
    const { messages, sizes, reader } = newReader(MAX_FRAME_BYTES, agree)
    reader.push(stream.slice(0, at))
    reader.push(stream.slice(at))
    t.strictSame(messages, sent)
    t.strictSame(sizes, [40, 32, 40, 40, 40], 'sizes are those before packing')
  }
  const { reader } = newReader()
  t.throws(() => reader.push(packedOf(frameOf(ping(1)))), { code: ErrorCode.MALFORMED }, 'before that it is no frame')
  t.end()
})

t.test('where packed is accepted, a plain frame has a second word', t => {
  const bytes = fromHex('00000e0800000000 0000060600000000')
  for (const at of [0, 5, 8, 12]) {
    const { reader } = newReader()
    reader.acceptPacked = true
    t.throws(() => {
      reader.push(bytes.slice(0, at))
      reader.push(bytes.slice(at))
    }, { code: ErrorCode.MALFORMED })
  }
  t.end()
})

t.test('a pack block holds exactly one frame', t => {
  for (const content of [
    joined([frameOf(ping(1)), frameOf(ping(2))]),
    frameOf(ping(1)).slice(0, 32),
    new Uint8Array(8)
  ]) {
    const { reader } = newReader()
    reader.acceptPacked = true
    t.throws(() => reader.push(packedOf(content)), { code: ErrorCode.MALFORMED })
  }
  const { reader } = newReader()
  reader.acceptPacked = true
  t.throws(() => reader.push(new Uint8Array(16)), { code: ErrorCode.MALFORMED }, 'none at all')
  t.end()
})

t.test('packed sizes that no frame packs to are refused at the header', t => {
  const { reader } = newReader()
  reader.acceptPacked = true
  t.throws(() => reader.push(Uint8Array.from([...u64(64), ...u64(81)])), { code: ErrorCode.MALFORMED })
  t.end()
})

t.test('stop from inside onMessage', t => {
  const { messages, reader } = newReader(MAX_FRAME_BYTES, (message, reader) => { if ((message as Ping).id === 2) reader.stop() })
  reader.push(joined([frameOf(ping(1)), frameOf(ping(2)), frameOf(ping(3)), frameOf(payload(50)).slice(0, 40)]))
  reader.push(frameOf(ping(4)))
  t.strictSame(messages, [ping(1), ping(2)])
  t.equal(reader.heldBytes, 0)
  t.notOk(reader.isMidFrame)

  const gathered = newReader(MAX_FRAME_BYTES, (_, reader) => reader.stop())
  gathered.reader.push(frameOf(ping(1)).slice(0, 20))
  gathered.reader.push(joined([frameOf(ping(1)).slice(20), frameOf(ping(2))]))
  t.strictSame(gathered.messages, [ping(1)])
  t.end()
})

t.test('bad bytes stop the reader after the messages before them', t => {
  const { messages, reader } = newReader()
  t.throws(() => reader.push(joined([frameOf(ping(1)), fromHex('00000d0800000000'), frameOf(ping(2))])), ProtocolError)
  reader.push(frameOf(ping(3)))
  t.strictSame(messages, [ping(1)])
  t.end()
})

t.test('an error of onMessage comes through and stops the reader', t => {
  const { messages, reader } = newReader(MAX_FRAME_BYTES, () => { throw new Error('mine') })
  t.throws(() => reader.push(joined([frameOf(ping(1)), frameOf(ping(2))])), { message: 'mine' })
  reader.push(frameOf(ping(3)))
  t.equal(messages.length, 1)
  t.end()
})

t.test('push does not nest', t => {
  const { reader } = newReader(MAX_FRAME_BYTES, (_, reader) => reader.push(frameOf(ping(2))))
  t.throws(() => reader.push(frameOf(ping(1))), { message: /inside onMessage/ })
  t.end()
})

t.test('an empty chunk is nothing', t => {
  const { messages, reader } = newReader()
  reader.push(new Uint8Array(0))
  reader.push(frameOf(ping(1)).slice(0, 4))
  reader.push(new Uint8Array(0))
  t.ok(reader.isMidFrame)
  reader.push(frameOf(ping(1)).slice(4))
  t.strictSame(messages, [ping(1)])
  t.end()
})

t.test('10,000 random and damaged streams: messages, a wait, or a ProtocolError, in bounded memory', t => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(0xff)), { maxLength: 4 })
  const stream = fc.oneof({ weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) }, {
    weight: 3,
    arbitrary: fc.tuple(streams, changes).map(([parts, changes]) => {
      const bytes = joined(parts.map(([message, isPacked]) => isPacked ? packedOf(frameOf(message)) : frameOf(message)))
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      return bytes
    })
  })
  const outcomes = { whole: 0, waits: 0, refused: 0 }
  fc.assert(fc.property(stream, fractions, fc.boolean(), fc.integer({ min: 8, max: 5000 }), (stream, fractions, acceptPacked, maxFrameBytes) => {
    const { sizes, reader } = newReader(maxFrameBytes)
    reader.acceptPacked = acceptPacked
    let arrived = 0
    try {
      for (const chunk of cut(stream, fractions)) {
        reader.push(chunk)
        arrived += chunk.length
        if (reader.heldBytes > Math.max(64, Math.min(2 * arrived, maxFrameBytes * 10 / 8 + 16))) return false
      }
      outcomes[reader.isMidFrame ? 'waits' : 'whole']++
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      outcomes.refused++
    }
    return sizes.every((size) => size <= maxFrameBytes)
  }), { numRuns: 10_000 })
  t.comment(outcomes)
  t.ok(outcomes.whole > 100 && outcomes.waits > 100 && outcomes.refused > 100, 'all outcomes were met')
  t.end()
})
