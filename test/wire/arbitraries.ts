// Random messages for the property tests: every field of every message, biased to the edges.
import fc from 'fast-check'
import type { MetadataEntry } from '../../lib/metadata.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { encodeMessage } from '../../lib/wire/encode.js'
import type { SendableMessage } from '../../lib/wire/encode.js'
import { Cancel, Close, Descr, GoAway, Open, OpenAck, Payload, Ping, Pong, WindowUpdate } from '../../lib/wire/message.js'

const u8 = fc.integer({ min: 0, max: 0xff })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffffffff }))
const u64 = fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
const text = fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: 'binary', maxLength: 20 }))
// Long runs of zeros and of anything but zeros are what packing is about.
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.tuple(fc.integer({ min: 0, max: 3000 }), u8).map(([length, byte]) => new Uint8Array(length).fill(byte))
)
const metadata: fc.Arbitrary<readonly MetadataEntry[]> = fc.oneof(
  fc.constant([]), fc.array(fc.record({ key: text, value: bytes }, { noNullPrototype: true }), { maxLength: 4 }))

function filled<T extends object> (create: () => T, fields: { [K in keyof T]?: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(fields as { [K in keyof T]: fc.Arbitrary<T[K]> }).map((values) => Object.assign(create(), values))
}

export const payloads: fc.Arbitrary<Payload> = filled(() => new Payload(), {
  sessionID: u32, reqID: u32, payload: bytes, endStream: fc.boolean(), compression: u8, metadata, errCode: u16, error: text, deadlineMS: u64, more: fc.boolean()
})

/** Payloads that `writePayload` can write. */
export const plainPayloads: fc.Arbitrary<Payload> = filled(() => new Payload(), {
  sessionID: u32, reqID: u32, payload: bytes, endStream: fc.boolean(), compression: u8, metadata, more: fc.boolean()
})

const descrs = filled(() => new Descr(), { package: text, service: text, call: text, type: u8 })

export const messages: fc.Arbitrary<SendableMessage> = fc.oneof(
  payloads,
  plainPayloads,
  filled(() => new Open(), {
    openID: u32,
    descr: descrs,
    protocolMajor: u8,
    protocolMinor: u8,
    deadlineMS: u64,
    maxPayloadSize: u32,
    traceID: bytes,
    spanID: bytes,
    metadata,
    packing: fc.boolean(),
    first: fc.option(fc.oneof(payloads, fc.constant(new Payload())), { nil: undefined }),
    window: u32
  }),
  filled(() => new OpenAck(), {
    openID: u32,
    sessionID: u32,
    protocolMajor: u8,
    protocolMinor: u8,
    maxPayloadSize: u32,
    errCode: u16,
    error: text,
    metadata,
    packing: fc.boolean(),
    window: u32
  }),
  filled(() => new Close(), { sessionID: u32, errCode: u16, error: text, metadata }),
  filled(() => new Cancel(), { sessionID: u32, reqID: u32 }),
  filled(() => new Ping(), { id: u32 }),
  filled(() => new Pong(), { id: u32 }),
  filled(() => new GoAway(), { lastSessionID: u32, errCode: u16, debugData: text }),
  filled(() => new WindowUpdate(), { sessionID: u32, bytes: u32 })
)

export function frameOf (message: SendableMessage): Uint8Array {
  const writer = new ByteWriter()
  encodeMessage(writer, message)
  return writer.take()
}

export function joined (parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Cuts bytes at these fractions of their length. Every piece has memory of its own. */
export function cut (whole: Uint8Array, fractions: readonly number[]): Uint8Array[] {
  const at = fractions.map((fraction) => Math.floor(fraction * whole.length)).sort((a, b) => a - b)
  return [0, ...at].map((from, i) => whole.slice(from, at[i] ?? whole.length))
}

/** Where to cut: few places, many, or none. */
export const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 })
