import t from 'tap'
import fc from 'fast-check'
import { Assembly, MIN_CHUNK_BYTES, checkChunk } from '../../lib/connection/assembly.js'
import { ProtocolError } from '../../lib/errors.js'
import type { Payload } from '../../lib/wire/message.js'
import { msg } from '../helpers/scripted-peer.js'

const bytes = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value)

t.test('joins chunks with the fields of the first and the end of the last', t => {
  const metadata = [{ key: 'k', value: bytes(1) }]
  const head = msg.payload({ reqID: 7, payload: bytes(5000, 1), more: true, compression: 2, metadata, deadlineMS: 9n })
  const last = msg.payload({ reqID: 7, payload: bytes(3, 2), endStream: true })
  const assembly = new Assembly(head, 42)
  t.equal(assembly.reqID, 7)
  t.equal(assembly.lastChunkAt, 42)
  t.ok(assembly.add(head, 10_000))
  t.ok(assembly.add(last, 10_000))
  t.equal(assembly.length, 5003)
  t.notOk(assembly.isLate(50))
  t.ok(assembly.isLate(51))
  const whole = assembly.join(last, 45)
  t.match(whole, { sessionID: 1, reqID: 7, compression: 2, metadata, deadlineMS: 6n, endStream: true, more: false }, 'of the deadline, what is left')
  t.same(whole.payload, Buffer.concat([bytes(5000, 1), bytes(3, 2)]))
  t.not(whole.payload.buffer, head.payload.buffer, 'a copy')
  t.end()
})

t.test('any cut gives the message', t => {
  fc.assert(fc.property(fc.array(fc.integer({ min: MIN_CHUNK_BYTES, max: 3 * MIN_CHUNK_BYTES }), { minLength: 1, maxLength: 8 }), fc.nat({ max: 100 }), (sizes, rest) => {
    const pieces = [...sizes, rest].map((size, at) => bytes(size, at + 1))
    const chunks = pieces.map((payload, at) => msg.payload({ payload, more: at < pieces.length - 1 }))
    const assembly = new Assembly(chunks[0] as Payload, 0)
    for (const chunk of chunks) if (!assembly.add(chunk, 1 << 20)) return false
    return Buffer.compare(assembly.join(chunks.at(-1) as Payload, 1e9).payload, Buffer.concat(pieces)) === 0
  }))
  t.end()
})

t.test('beyond the maximum everything is dropped', t => {
  const head = msg.payload({ payload: bytes(5000), more: true })
  const assembly = new Assembly(head, 0)
  t.ok(assembly.add(head, 9999))
  t.notOk(assembly.add(head, 9999))
  t.ok(assembly.isDiscarding)
  t.equal(assembly.length, 0)
  t.end()
})

t.test('exactly the maximum is no fault', t => {
  const head = msg.payload({ payload: bytes(5000), more: true })
  const assembly = new Assembly(head, 0)
  t.ok(assembly.add(head, 10_000))
  t.ok(assembly.add(head, 10_000))
  t.end()
})

t.test('what a chunk with More must be', t => {
  checkChunk(msg.payload({ payload: bytes(MIN_CHUNK_BYTES), more: true }))
  checkChunk(msg.payload({ payload: bytes(1) }))
  t.throws(() => { checkChunk(msg.payload({ payload: bytes(MIN_CHUNK_BYTES - 1), more: true })) }, ProtocolError)
  t.throws(() => { checkChunk(msg.payload({ payload: bytes(MIN_CHUNK_BYTES), more: true, endStream: true })) }, ProtocolError)
  t.throws(() => { checkChunk(msg.payload({ payload: bytes(MIN_CHUNK_BYTES), more: true, errCode: 3 })) }, ProtocolError)
  t.end()
})
