// What a real Go client wrote, written to our server; what a real Go server wrote, written to our client. Where
// we answer otherwise than Go did, the difference is named with its reason.
import { once } from 'node:events'
import t from 'tap'
import type { Test } from 'tap'
import { Client } from '../../lib/client/client.js'
import { snappy } from '../../lib/compression/snappy.js'
import { Category, RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { memoryPair } from '../../lib/transport/memory.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { encodeMessage } from '../../lib/wire/encode.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import { Compression, MsgType } from '../../lib/wire/message.js'
import type { Message, UnknownMessage } from '../../lib/wire/message.js'
import type { Transport } from '../../types/transport.js'
import { Recorder } from '../transport/recorder.js'
import { fromHex, readJson } from './data.js'

interface Step { from?: 'client' | 'server', hex?: string, result?: string }
const { transcripts } = readJson<{ transcripts: { name: string, steps: Step[] }[] }>('transcripts.json')
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The service that the Go program of the recording had. */
function goService (server: Server): void {
  server.register('t', 'S', 'Echo', new SyncHandler((_context, request) => {
    const text = decoder.decode(request)
    if (text === 'fail') throw new RpcError(Category.NotFound, 'no such row')
    if (text === 'plain') throw new RpcError(Category.Internal, 'unexpected EOF')
    return request
  }))
  server.register('t', 'S', 'Slow', new SyncHandler(async (context, request) => {
    if (decoder.decode(request) !== 'slow') return request
    await once(context.signal, 'abort')
    throw context.signal.reason
  }))
  server.register('t', 'S', 'BiDi', new BiDirHandler(async (_context, stream) => {
    for await (const bytes of stream.recv()) await stream.send(encoder.encode('re:' + decoder.decode(bytes)))
    stream.setTrailer({ t: 'v' })
  }))
  server.register('t', 'S', 'Up', new SendHandler(async (_context, stream) => { for await (const bytes of stream.recv()) t.ok(bytes) }))
  server.register('t', 'S', 'Down', new RecvHandler(async (_context, stream) => {
    await stream.send(encoder.encode('a'))
    await stream.send(new Uint8Array(0))
    throw new RpcError(Category.ResourceExhausted, 'enough')
  }))
}

/** The messages of a side, as they are read from its bytes. */
class Side {
  readonly messages: Message[] = []
  readonly reader = new MessageReader({ maxFrameBytes: 1 << 24, onMessage: (message) => { this.messages.push(message) } })
}

/** A message without what may differ between implementations, for comparing. */
function essence (message: Message): object {
  const plain: Record<string, unknown> = { ...message }
  if (message.type === MsgType.OpenAck) plain['maxPayloadSize'] = 0 // Go does not say it
  if (message.type === MsgType.Payload) {
    plain['payload'] = message.compression === Compression.Snappy && message.payload.length > 0
      ? decoder.decode(snappy().decompress(message.payload, 1000) as Uint8Array)
      : decoder.decode(message.payload)
    plain['compression'] = 0 // Go names it for empty payloads too
  }
  return plain
}

/** What our server says instead, or leaves out, and why. */
const SERVER_DIFFERENCES: Record<string, { reason: string, drop: (message: Message) => boolean }> = {
  'recv (server stream) ending in an error': {
    reason: 'no EndStream before the Close of an error: a Go client would lose the error (D9)',
    drop: (message) => message.type === MsgType.Payload && message.endStream
  },
  'cancel one call': {
    reason: 'a cancelled request is stopped and not answered, and the session lives on (D13)',
    drop: (message) => message.type === MsgType.Close || (message.type === MsgType.Payload && message.reqID === 1)
  },
  'server shutdown with an idle session': {
    reason: 'an idle session is closed and then GoAway, which would cost a Go client its calls, comes last (D12)',
    drop: (message) => message.type === MsgType.GoAway
  }
}

function keptAlive (t: Test): void {
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
}

for (const { name, steps } of transcripts) {
  t.test(`a Go client's bytes to our server: ${name}`, async (t) => {
    keptAlive(t)
    const server = await Server.create({ packing: true, compression: name.includes('snappy') ? 'snappy' : 'none', compressionMinBytes: 1 })
    goService(server)
    const [far, near] = memoryPair()
    const connection = server.connect(far)
    const recorder = new Recorder()
    const ours = new Side()
    recorder.whenData = (chunk) => { ours.reader.push(chunk.slice()) }
    near.start(recorder)
    const go = new Side()
    const isPacked = name.startsWith('packing')
    const difference = SERVER_DIFFERENCES[name]
    const expected = (): object[] => go.messages.filter((message) => difference?.drop(message) !== true).map(essence)

    for (const step of steps) {
      if (step.hex === undefined) continue
      const bytes = fromHex(step.hex)
      if (step.from === 'client') near.write(bytes, () => {})
      else {
        go.reader.push(bytes)
        if (isPacked) ours.reader.acceptPacked = go.reader.acceptPacked = true
        await recorder.until(() => ours.messages.length >= expected().length)
      }
    }
    t.strictSame(ours.messages.map(essence), expected(), difference?.reason ?? 'the same messages as Go')
    await connection.close()
  })
}

function encode (message: Message): Uint8Array {
  const writer = new ByteWriter()
  encodeMessage(writer, message as Exclude<Message, UnknownMessage>)
  return writer.take()
}

/** Plays a recorded Go server to our client: after each message of the client comes what Go said next. */
function playServer (near: Transport, steps: Step[]): Recorder {
  const go = new Side()
  for (const step of steps) if (step.from === 'server' && step.hex !== undefined) go.reader.push(fromHex(step.hex))
  const recorder = new Recorder()
  const client = new Side()
  let openID = 0
  let reqID = 0
  const answer = (): void => {
    const last = client.messages.at(-1)
    if (last === undefined) return
    if (last.type === MsgType.Open) openID = last.openID
    if (last.type === MsgType.Payload) reqID = last.reqID
    const wanted = last.type === MsgType.Open ? [MsgType.OpenAck] : [MsgType.Payload, MsgType.Close]
    // Ids are the client's choice: ours begin with 1 where Go's begin with 0.
    for (let next = go.messages[0]; next !== undefined && (wanted as number[]).includes(next.type); next = go.messages[0]) {
      go.messages.shift()
      if (next.type === MsgType.OpenAck) next.openID = openID
      if (next.type === MsgType.Payload) next.reqID = reqID
      near.write(encode(next), () => {})
      if (next.type !== MsgType.Payload || !next.endStream) break
    }
  }
  recorder.whenData = (chunk) => {
    const before = client.messages.length
    client.reader.push(chunk.slice())
    if (client.messages.length > before) answer()
  }
  near.start(recorder)
  return recorder
}

function recorded (name: string): Step[] {
  const found = transcripts.find((transcript) => transcript.name === name)
  if (found === undefined) throw new Error(`no transcript ${name}`)
  return found.steps
}

function clientOf (t: Test, steps: Step[]): Client {
  keptAlive(t)
  const [far, near] = memoryPair()
  playServer(near, steps)
  const client = new Client(far, { compressors: [snappy()] })
  t.teardown(async () => { await client.close() })
  return client
}

t.test("a Go server's bytes to our client: sync calls", async (t) => {
  const echo = clientOf(t, recorded('sync: two calls, then close')).sync('t', 'S', 'Echo')
  t.equal(decoder.decode(await echo.call(encoder.encode('one'))), 'one')
  t.equal((await echo.call(new Uint8Array(0))).length, 0)
})

t.test("a Go server's bytes to our client: errors keep category and text", async (t) => {
  const client = clientOf(t, recorded('sync: handler error'))
  const echo = client.sync('t', 'S', 'Echo')
  await t.rejects(echo.call(encoder.encode('fail')), { category: Category.NotFound, message: 'no such row' })
  await t.rejects(echo.call(encoder.encode('plain')), { category: Category.Internal, message: 'unexpected EOF' })
  t.equal(client.minor, 0, 'a Go server speaks 1.0')
})

t.test("a Go server's bytes to our client: a refusal keeps its code and text (D11)", async (t) => {
  const client = clientOf(t, recorded('open rejected'))
  await t.rejects(client.sync('t', 'S', 'Nope').call(new Uint8Array(0)), { category: Category.Unimplemented, message: 'no handler registered' })
  await t.rejects(client.sync('t', 'S', 'BiDi').call(new Uint8Array(0)), { category: Category.InvalidArgument, message: 'RPC type mismatch' })
})

t.test("a Go server's bytes to our client: a server stream that fails yields what came before (D9)", async (t) => {
  const steps = recorded('recv (server stream) ending in an error')
  keptAlive(t)
  const [far, near] = memoryPair()
  const recorder = new Recorder()
  const go = new Side()
  for (const step of steps) if (step.from === 'server' && step.hex !== undefined) go.reader.push(fromHex(step.hex))
  const client = new Side()
  recorder.whenData = (chunk) => {
    client.reader.push(chunk.slice())
    const open = client.messages[0]
    if (open?.type !== MsgType.Open) return
    for (const message of go.messages.splice(0)) {
      if (message.type === MsgType.OpenAck) message.openID = open.openID
      near.write(encode(message), () => {})
    }
  }
  near.start(recorder)
  const caller = new Client(far)
  const got: string[] = []
  await t.rejects((async () => {
    for await (const bytes of caller.recv('t', 'S', 'Down')) got.push(decoder.decode(bytes))
  })(), { category: Category.ResourceExhausted, message: 'enough' })
  t.strictSame(got, ['a', ''])
  await caller.close()
})
