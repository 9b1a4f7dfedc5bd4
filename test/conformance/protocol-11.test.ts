// Protocol 1.1, rule by rule, where a peer can see it. Each test is named by the rule in its own words; the other side
// is played by the test. What a rule says about both roles is looked at from both.
import t from 'tap'
import type { Test } from 'tap'
import { Category, RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import type { Server } from '../../lib/server/server.js'
import { MsgType, NO_BYTES } from '../../lib/wire/message.js'
import type { Open, Payload } from '../../lib/wire/message.js'
import { messageFrameBytes, payloadFrameBytes } from '../../lib/wire/encode.js'
import type { ClientOptions } from '../../types/client-options.js'
import type { HandlerContext } from '../../types/handler-context.js'
import type { ServerOptions } from '../../types/options.js'
import { deferred, frameOf, msg, names, scriptedClient, scriptedServer, settle, str, text, until, watch } from '../helpers/scripted-peer.js'
import type { ScriptedClient, ScriptedServer } from '../helpers/scripted-peer.js'

const KIB = 1024
const forEver = (context: HandlerContext): Promise<void> => new Promise((resolve) => { context.signal.addEventListener('abort', () => { resolve() }) })
const costOf = (payload: Payload): number => messageFrameBytes(payload) + 64

/** What the handlers of the test do, by the first bytes they get. */
interface Handlers {
  sync?: (context: HandlerContext, request: Uint8Array) => Uint8Array | Promise<Uint8Array>
  biDir?: BiDirHandler['handle']
  send?: SendHandler['handle']
  recv?: RecvHandler['handle']
}

function serve (t: Test, handlers: Handlers = {}, options: ServerOptions = {}): ScriptedClient {
  return scriptedClient(t, { keepAliveIntervalMs: 0, handshakeTimeoutMs: 0, maxWindowBytes: 0, ...options }, (server: Server) => {
    server.register('p', 'S', 'Sync', new SyncHandler(handlers.sync ?? ((_context, request) => request)))
    server.register('p', 'S', 'BiDir', new BiDirHandler(handlers.biDir ?? forEver))
    server.register('p', 'S', 'Send', new SendHandler(handlers.send ?? forEver))
    server.register('p', 'S', 'Recv', new RecvHandler(handlers.recv ?? forEver))
  })
}

async function served (t: Test, kind: keyof typeof names, handlers: Handlers = {}, options: ServerOptions = {}, open: Parameters<typeof msg.open>[0] = {}): Promise<ScriptedClient> {
  const set = serve(t, handlers, options)
  set.peer.send(msg.open({ descr: names[kind], ...open }))
  await set.peer.expect('openAck', { errCode: 0 })
  return set
}

function call (t: Test, options: ClientOptions = {}): ScriptedServer {
  return scriptedServer(t, { keepAliveIntervalMs: 0, maxWindowBytes: 0, ...options })
}

const accept = (open: Open, fields: Parameters<typeof msg.ack>[0] = {}): ReturnType<typeof msg.ack> => msg.ack({ openID: open.openID, sessionID: 1, ...fields })

t.test('1. Negotiation', async t => {
  await t.test('a client announces minor 1 in every Open', async t => {
    const { client, peer } = call(t)
    client.biDir('p', 'S', 'A')
    const one = await peer.expect('open', { protocolMajor: 1, protocolMinor: 1 })
    peer.send(accept(one, { protocolMinor: 0 }))
    client.biDir('p', 'S', 'B')
    await peer.expect('open', { protocolMinor: 1 })
  })

  await t.test('a server answers with the smaller minor, on refusals too', async t => {
    for (const [protocolMinor, answered] of [[0, 0], [1, 1], [5, 1]]) {
      const { peer } = serve(t)
      peer.send(msg.open({ protocolMinor: protocolMinor ?? 0, descr: { ...names.sync, call: 'Missing' } }))
      await peer.expect('openAck', { errCode: 12, protocolMinor: answered ?? 0 })
    }
  })

  await t.test('several Opens may be sent before the first OpenAck', async t => {
    const { client, peer } = call(t)
    client.biDir('p', 'S', 'A')
    client.biDir('p', 'S', 'B')
    await peer.expect('open')
    await peer.expect('open')
  })

  await t.test('OpenAck is sent at once, also when the call must wait, and precedes everything of its session', async t => {
    const { peer } = await served(t, 'biDir', {}, { maxConcurrentRPCs: 1 })
    peer.send(msg.open({ openID: 2, descr: names.sync, first: msg.first({ reqID: 1, payload: text('x') }) }))
    await peer.expect('openAck', { openID: 2, sessionID: 2 })
    await peer.expectSilence()
    peer.send(msg.close())
    await peer.expect('close', { sessionID: 1 })
    await peer.expect('payload', { sessionID: 2, reqID: 1 })
  })
})

t.test('2. New fields', async t => {
  await t.test('an empty First is the bare eight bytes of a struct header: presence counts', async t => {
    const without = frameOf(msg.open({ descr: names.biDir }))
    const withEmpty = frameOf(msg.open({ descr: names.biDir, first: msg.first() }))
    t.equal(withEmpty.length - without.length, 8)
    const { peer } = serve(t, { async biDir (_context, stream) { for await (const bytes of stream.recv()) await stream.send(text(String(bytes.byteLength))) } })
    peer.sendBytes(withEmpty)
    await peer.expect('openAck')
    await peer.expect('payload', { payload: text('0') })
  })

  await t.test('WindowUpdate has the IsSet word 81 04', t => {
    t.same(frameOf(msg.update(1, 1)).subarray(-8), new Uint8Array([0x81, 0x04, 0, 0, 0, 0, 0, 0]))
    t.end()
  })

  await t.test('First of each kind is the request or the first message', async t => {
    const collect: BiDirHandler['handle'] = async (_context, stream) => {
      const found: string[] = []
      for await (const bytes of stream.recv()) found.push(str(bytes))
      await stream.send(text(found.join()))
    }
    const { peer } = serve(t, {
      biDir: collect,
      async send (_context, stream) {
        const found: string[] = []
        for await (const bytes of stream.recv()) found.push(str(bytes))
        return text(found.join())
      },
      async recv (_context, stream) { await stream.send(await stream.request()) }
    })
    let sessionID = 0
    const run = async (kind: keyof typeof names, first: Payload, rest: Partial<Payload>[] = []): Promise<Payload> => {
      sessionID++
      peer.send(msg.open({ openID: sessionID, descr: names[kind], first }), ...rest.map((fields) => msg.payload({ sessionID, ...fields })))
      await peer.expect('openAck', { sessionID })
      const answer = await peer.expect('payload', { sessionID })
      if (kind !== 'sync') await peer.expect('close', { sessionID, errCode: 0 })
      return answer
    }
    t.match(await run('sync', msg.first({ reqID: 9, payload: text('x') })), { reqID: 9, payload: text('x') })
    t.match(await run('biDir', msg.first({ payload: text('a'), endStream: true })), { payload: text('a') })
    t.match(await run('biDir', msg.first({ payload: text('a') }), [{ payload: text('b'), endStream: true }]), { payload: text('a,b') })
    t.match(await run('send', msg.first({ payload: text('a') }), [{ payload: text('b') }, { endStream: true }]), { payload: text('a,b') })
    t.match(await run('recv', msg.first({ payload: text('r'), endStream: true })), { payload: text('r') })
    t.match(await run('recv', msg.first({ endStream: true })), { payload: NO_BYTES })
  })

  await t.test('a bad First is refused with 3, a larger one with 8; no session, the connection unharmed', async t => {
    const { peer, conn } = serve(t)
    peer.send(msg.open({ descr: names.biDir, first: msg.first({ sessionID: 1 }) }))
    await peer.expect('openAck', { errCode: 3, sessionID: 0 })
    peer.send(msg.open({ descr: names.biDir, first: msg.first({ payload: new Uint8Array(64 * KIB + 1) }) }))
    await peer.expect('openAck', { errCode: 8, sessionID: 0 })
    t.equal(conn.sessionCount, 0)
    peer.send(msg.ping(1))
    await peer.expect('pong')
  })

  await t.test('the size limit of First applies after decompression', async t => {
    const { gzipSync } = await import('node:zlib')
    const { peer } = serve(t, {}, { maxRecvMsgSize: 10_000 })
    const bomb = new Uint8Array(gzipSync(new Uint8Array(20_000)))
    peer.send(msg.open({ descr: names.sync, first: msg.first({ reqID: 1, payload: bomb, compression: 1 }) }))
    await peer.expect('openAck', { errCode: 0 })
    await peer.expect('payload', { reqID: 1, errCode: Category.ResourceExhausted })
  })

  await t.test('First is neither charged nor credited', async t => {
    const { peer, conn } = serve(t, {}, { windowBytes: 128 * KIB })
    peer.send(msg.open({ descr: names.biDir, first: msg.first({ payload: new Uint8Array(64 * KIB) }) }))
    await peer.expect('openAck')
    const [session] = conn.connection.sessions
    t.equal(session?.peerCredit, 128 * KIB)

    const { client, peer: server } = call(t)
    const stream = client.biDir('p', 'S', 'BiDir')
    watch(stream.send(new Uint8Array(64 * KIB)))
    const open = await server.expect('open')
    server.send(accept(open, { window: 128 * KIB }))
    watch(stream.send(new Uint8Array(65_000)))
    watch(stream.send(new Uint8Array(64_000)))
    await server.expect('payload')
    await server.expect('payload', { more: false })
  })

  await t.test('a refused Open never ran First', async t => {
    let ran = 0
    const { peer, conn } = serve(t, { sync: () => { ran++; return NO_BYTES } })
    conn.startDraining()
    peer.send(msg.open({ descr: names.sync, first: msg.first({ reqID: 1 }) }))
    await peer.expect('openAck', { errCode: 14 })
    await settle()
    t.equal(ran, 0)
  })

  await t.test('a 1.0 server skipped First: the client sends it as the first ordinary Payload, without fields of 1.1', async t => {
    const { client, peer } = call(t)
    const answer = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    const open = await peer.expect('open')
    peer.send(accept(open, { protocolMinor: 0 }))
    await peer.expect('payload', { reqID: 1, payload: text('x'), deadlineMS: 0n })
    t.notOk(answer.isSettled)
  })

  await t.test('unless it was cancelled by then', async t => {
    const { client, peer } = call(t)
    const controller = new AbortController()
    watch(client.sync('p', 'S', 'Sync').call(text('x'), { signal: controller.signal }))
    const open = await peer.expect('open')
    controller.abort()
    peer.send(accept(open, { protocolMinor: 0 }))
    await peer.expect('close')
    await peer.expectSilence()
  })
})

t.test('3. Flow control', async t => {
  await t.test('announced windows are raised to 128 KiB by both sides', async t => {
    const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { for (let i = 0; i < 5; i++) await stream.send(new Uint8Array(60_000)) } }, {}, { window: 1000 })
    await peer.expect('payload')
    await peer.expect('payload')
    await peer.expectSilence()
    t.pass('two of 60 KB, and not the third')
  })

  await t.test('and cut to 2^31-1', async t => {
    const { peer } = await served(t, 'biDir', {}, {}, { window: 0xffffffff })
    peer.send(msg.update(1, 1))
    await peer.expect('close', { errCode: Category.ResourceExhausted })
  })

  await t.test('a Payload costs its unpacked frame and 64; a sender sends only what its credit covers', async t => {
    const one = 40_000
    const cost = payloadFrameBytes(1, 0, one, false, 0, [], false) + 64
    const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { for (let i = 0; i < 5; i++) await stream.send(new Uint8Array(one)) } }, {}, { window: 128 * KIB })
    for (let i = 0; i < 3; i++) await peer.expect('payload')
    const left = 128 * KIB - 3 * cost
    peer.send(msg.update(1, cost - left - 1))
    await peer.expectSilence()
    peer.send(msg.update(1, 1))
    await peer.expect('payload')
    await peer.expectSilence()
  })

  await t.test('packing does not change the cost', async t => {
    const { peer } = serve(t, { async biDir (_context, stream) { for (let i = 0; i < 5; i++) await stream.send(new Uint8Array(60_000)) } }, { packing: true })
    peer.agreesToPack = true
    peer.send(msg.open({ descr: names.biDir, window: 128 * KIB, packing: true }))
    await peer.expect('openAck', { packing: true })
    await peer.expect('payload')
    await peer.expect('payload')
    await peer.expectSilence()
  })

  await t.test('no frame costs more than half the window, metadata included', async t => {
    const metadata = { large: new Uint8Array(16 * KIB - 48) }
    for (const window of [128 * KIB, 256 * KIB, 1 << 20]) {
      const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { await stream.send(new Uint8Array(500_000), { metadata }) } }, {}, { window })
      for (let bytes = 0; bytes < 500_000;) {
        const payload = await peer.expect('payload')
        bytes += payload.payload.byteLength
        t.ok(costOf(payload) <= window / 2)
        t.ok(payload.payload.byteLength <= 64 * KIB)
        peer.send(msg.update(1, costOf(payload)))
      }
    }
  })

  await t.test('metadata of one message are at most 16 KiB', async t => {
    let refused: RpcError | undefined
    const { peer } = await served(t, 'biDir', {
      async biDir (_context, stream) {
        await stream.send(text('x'), { metadata: { large: new Uint8Array(16 * KIB) } }).catch((error: RpcError) => { refused = error })
      }
    })
    await peer.expect('close', { errCode: 0 })
    t.equal(refused?.category, Category.ResourceExhausted)
  })

  await t.test('credit is returned when half the window was taken, not before anything is', async t => {
    const taken = deferred()
    const { peer } = await served(t, 'biDir', {
      async biDir (_context, stream) {
        await taken.promise
        for await (const bytes of stream.recv()) if (bytes.byteLength === 0) break
      }
    }, { windowBytes: 128 * KIB })
    const payload = msg.payload({ payload: new Uint8Array(40_000) })
    peer.send(payload, payload, payload)
    await peer.expectSilence()
    taken.resolve()
    const { bytes } = await peer.expect('windowUpdate', { sessionID: 1 })
    t.equal(bytes, 2 * costOf(payload))
    await peer.expectSilence()
  })

  await t.test('free are an empty end of a stream, a failure, and everything that is no Payload', async t => {
    const { peer, conn } = await served(t, 'biDir', { async biDir (context, stream) { stream.send(new Uint8Array(200_000)).catch(() => {}); await forEver(context) } }, { windowBytes: 128 * KIB }, { window: 128 * KIB })
    await peer.expect('payload')
    await peer.expect('payload')
    const [session] = conn.connection.sessions
    peer.send(msg.payload({ endStream: true }))
    await settle()
    t.equal(session?.peerCredit, 128 * KIB)
    peer.send(msg.cancel())
    await peer.expect('close', { errCode: Category.Canceled })

    const requests = await served(t, 'sync', { sync: (_context, request) => request.byteLength === 0 ? new Uint8Array(200_000) : Promise.reject(new RpcError(Category.NotFound, 'no')) }, {}, { window: 128 * KIB })
    requests.peer.send(msg.payload({ reqID: 2, payload: text('fails') }))
    await requests.peer.expect('payload', { reqID: 2, errCode: Category.NotFound })
    requests.peer.send(msg.payload({ reqID: 1 }))
    await requests.peer.expect('payload', { reqID: 1, more: true })
    const second = await requests.peer.expect('payload', { reqID: 1, more: true })
    t.ok(second.payload.byteLength > 64_000, 'the failure cost nothing')
  })

  await t.test('a second end of a stream is an error', async t => {
    const { peer } = await served(t, 'biDir')
    peer.send(msg.payload({ endStream: true }), msg.payload({ endStream: true }))
    const close = await peer.expect('close')
    t.not(close.errCode, 0)
  })

  await t.test('EndStream on a synchronous session is ignored and frees nothing', async t => {
    const { peer, conn } = await served(t, 'sync', { sync: () => new Promise(() => {}) }, { windowBytes: 128 * KIB, maxRequestsPerConnection: 1 })
    const [session] = conn.connection.sessions
    peer.send(msg.payload({ reqID: 1 }), msg.payload({ reqID: 2, endStream: true }), msg.payload({ reqID: 3 }))
    await peer.expectSilence()
    t.equal(session?.peerCredit, 128 * KIB - 2 * costOf(msg.payload({ reqID: 1 })) - costOf(msg.payload({ reqID: 2, endStream: true })))
  })

  await t.test('EndStream and the Close of a handler follow everything accepted before', async t => {
    const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { for (let i = 0; i < 4; i++) stream.send(new Uint8Array(60_000)).catch(() => {}) } }, {}, { window: 128 * KIB })
    await peer.expect('payload')
    await peer.expect('payload')
    await peer.expectSilence()
    peer.send(msg.update(1, 128 * KIB))
    await peer.expect('payload')
    await peer.expect('payload')
    await peer.expect('close', { errCode: 0 })

    const { client, peer: server } = call(t)
    const stream = client.biDir('p', 'S', 'BiDir')
    const open = await server.expect('open')
    server.send(accept(open, { window: 128 * KIB }))
    await settle()
    for (let i = 0; i < 3; i++) watch(stream.send(new Uint8Array(60_000)))
    stream.closeSend()
    await server.expect('payload')
    await server.expect('payload')
    await server.expectSilence()
    server.send(msg.update(1, 128 * KIB))
    await server.expect('payload', { endStream: false })
    await server.expect('payload', { endStream: true, payload: NO_BYTES })
  })

  await t.test('cancel, deadline, error and forced shutdown drop what is queued and go at once', async t => {
    const ends: [string, (set: ScriptedClient) => unknown, number][] = [
      ['cancel', ({ peer }) => { peer.send(msg.cancel()) }, Category.Canceled],
      ['deadline', ({ clock }) => { clock.advance(100) }, Category.DeadlineExceeded],
      ['error', ({ peer }) => { peer.send(msg.payload({ errCode: 3 })) }, Category.InvalidArgument],
      ['shutdown', ({ conn }) => { watch(conn.close()) }, Category.Unavailable]
    ]
    for (const [what, end, errCode] of ends) {
      const set = await served(t, 'biDir', { async biDir (context, stream) { stream.send(new Uint8Array(500_000)).catch(() => {}); await forEver(context) } }, {}, { deadlineMS: 100n, window: 128 * KIB })
      await set.peer.expect('payload')
      await set.peer.expect('payload')
      await set.peer.expectSilence()
      end(set)
      await set.peer.expect('close', { errCode })
      t.pass(what)
    }
  })

  await t.test('what is discarded in a living session is credited at once', async t => {
    const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { for (let i = 0; i < 4; i++) stream.send(new Uint8Array(60_000)).catch(() => {}) } }, { windowBytes: 128 * KIB }, { window: 128 * KIB })
    await peer.expect('payload')
    await peer.expect('payload')
    // The handler has returned; its last messages wait for credit.
    peer.send(msg.payload({ payload: new Uint8Array(60_000) }), msg.payload({ payload: new Uint8Array(60_000) }))
    await peer.expect('windowUpdate', { sessionID: 1 })
  })

  await t.test('credit above 2^31-1 is an error of the session', async t => {
    const { peer } = await served(t, 'biDir', {}, {}, { window: 128 * KIB })
    peer.send(msg.update(1, 0x7fffffff))
    await peer.expect('close', { errCode: Category.ResourceExhausted })

    const { client, peer: server } = call(t)
    const stream = client.biDir('p', 'S', 'BiDir')
    const open = await server.expect('open')
    server.send(accept(open), msg.update(1, 0x7fffffff))
    await server.expect('close', { errCode: Category.ResourceExhausted })
    t.match(await stream.ended, { category: Category.ResourceExhausted })
  })

  await t.test('sending beyond the credit is Close 8 with that text', async t => {
    const { peer } = await served(t, 'biDir', {}, { windowBytes: 128 * KIB })
    for (let i = 0; i < 3; i++) peer.send(msg.payload({ payload: new Uint8Array(60_000) }))
    await peer.expect('close', { errCode: Category.ResourceExhausted, error: 'flow control window exceeded' })

    const { client, peer: server } = call(t, { windowBytes: 128 * KIB })
    const stream = client.biDir('p', 'S', 'BiDir')
    const open = await server.expect('open')
    server.send(accept(open))
    for (let i = 0; i < 3; i++) server.send(msg.payload({ payload: new Uint8Array(60_000) }))
    await server.expect('close', { errCode: Category.ResourceExhausted, error: 'flow control window exceeded' })
    t.match(await stream.ended, { category: Category.ResourceExhausted })
  })

  await t.test('at most about 128 KiB stand unsent, whatever the credit', async t => {
    const { peer, conn } = await served(t, 'biDir', { async biDir (context, stream) { for (let i = 0; i < 50; i++) stream.send(new Uint8Array(60_000)).catch(() => {}); await forEver(context) } }, {}, { window: 0x7fffffff })
    peer.transport.pause()
    peer.ignored.add('payload')
    await settle()
    const second = await served(t, 'biDir')
    t.ok(second)
    t.ok(conn.connection.unsentBytes <= 128 * KIB + 65 * KIB, `${conn.connection.unsentBytes}`)
  })

  await t.test('a 1.1 side never stops reading because of session data', async t => {
    const { peer, conn } = await served(t, 'biDir', {}, { maxSessionsPerConnection: 0 })
    for (let i = 2; i <= 100; i++) peer.send(msg.open({ openID: i, descr: names.biDir }))
    for (let i = 1; i <= 100; i++) for (let k = 0; k < 4; k++) peer.send(msg.payload({ sessionID: i, payload: new Uint8Array(60_000) }))
    peer.ignored.add('openAck')
    peer.send(msg.ping(1))
    await peer.expect('pong')
    t.notOk(conn.connection.isPaused)
  })

  await t.test('a stream that gets no credit for a minute is closed with 8, what is queued dropped', async t => {
    const { peer, clock } = await served(t, 'biDir', { async biDir (context, stream) { stream.send(new Uint8Array(500_000)).catch(() => {}); await forEver(context) } }, {}, { window: 128 * KIB })
    await peer.expect('payload')
    await peer.expect('payload')
    clock.advance(61_000)
    await peer.expect('close', { errCode: Category.ResourceExhausted })
  })

  await t.test('(1.0 too) what a living handler could take is never dropped: the transport is paused, a Pong comes every five seconds', async t => {
    let read = 0
    const go = deferred()
    const { peer, conn, clock } = await served(t, 'biDir', {
      async biDir (_context, stream) {
        await go.promise
        for await (const bytes of stream.recv()) read += bytes.byteLength
      }
    }, { recvBufferBytes: 1 << 20 }, { protocolMinor: 0 })
    for (let i = 0; i < 50; i++) peer.send(msg.payload({ payload: new Uint8Array(100_000) }))
    await settle()
    t.ok(conn.connection.isPaused)
    const [session] = conn.connection.sessions
    t.ok((session?.heldBytes ?? Infinity) < (1 << 20) + 110_000, 'held is the bound and one message')
    clock.advance(5000)
    await peer.expect('pong', { id: 0 })
    clock.advance(4000)
    await peer.expectSilence()
    clock.advance(1000)
    await peer.expect('pong')
    go.resolve()
    await until(() => read === 5_000_000)
    t.notOk(conn.connection.isPaused)
  })

  await t.test('(1.0 too) after a minute without progress the session that holds most is closed with 8', async t => {
    const { peer, clock } = await served(t, 'biDir', {}, { recvBufferBytes: 1 << 20 }, { protocolMinor: 0 })
    peer.send(msg.open({ openID: 2, protocolMinor: 0, descr: names.biDir }))
    await peer.expect('openAck')
    peer.send(msg.payload({ payload: new Uint8Array(300_000) }), msg.payload({ sessionID: 2, payload: new Uint8Array(900_000) }))
    await settle()
    peer.ignored.add('pong')
    clock.advance(60_000)
    await peer.expect('close', { sessionID: 2, errCode: Category.ResourceExhausted })
    await peer.expectSilence()
  })

  await t.test('(1.0 too) what no handler will take is discarded and not counted', async t => {
    const { peer, conn } = await served(t, 'recv', {}, { recvBufferBytes: 1 << 20 }, { protocolMinor: 0 })
    for (let i = 0; i < 50; i++) peer.send(msg.payload({ payload: new Uint8Array(100_000) }))
    peer.send(msg.ping(1))
    await peer.expect('pong')
    t.notOk(conn.connection.isPaused)
  })
})

t.test('4. Outcomes per request', async t => {
  await t.test('ReqIDs run from 1 and are unique among the unanswered', async t => {
    const { client, peer } = call(t)
    const method = client.sync('p', 'S', 'Sync')
    for (let i = 0; i < 5; i++) watch(method.call(text(String(i))))
    const open = await peer.expect('open')
    peer.send(accept(open))
    await settle()
    t.same([open.first?.reqID, ...peer.all('payload').map((payload) => payload.reqID)], [1, 2, 3, 4, 5])
  })

  await t.test('answers come in any order, one each; content may be empty', async t => {
    const answers = new Map<string, (bytes: Uint8Array) => void>()
    const { peer } = await served(t, 'sync', { sync: (_context, request) => new Promise((resolve) => { answers.set(str(request), resolve) }) })
    peer.send(...[1, 2, 3].map((reqID) => msg.payload({ reqID, payload: text(String(reqID)) })))
    await settle()
    answers.get('2')?.(NO_BYTES)
    await peer.expect('payload', { reqID: 2, payload: NO_BYTES, errCode: 0 })
    answers.get('1')?.(text('one'))
    await peer.expect('payload', { reqID: 1 })
    await peer.expectSilence()
  })

  await t.test('Cancel of one request: its answer is code 1, also of one that has not wholly come; answered ones are ignored', async t => {
    const { peer } = await served(t, 'sync', { sync: (_context, request) => str(request) === 'wait' ? new Promise(() => {}) : request })
    peer.send(msg.payload({ reqID: 1, payload: text('wait') }), msg.payload({ reqID: 2, payload: text('x') }), msg.payload({ reqID: 3, payload: new Uint8Array(5000), more: true }))
    await peer.expect('payload', { reqID: 2, errCode: 0 })
    peer.send(...[1, 2, 3, 4].map((reqID) => msg.cancel({ reqID })))
    await peer.expect('payload', { reqID: 1, errCode: Category.Canceled })
    await peer.expect('payload', { reqID: 3, errCode: Category.Canceled })
    await peer.expectSilence()
  })

  await t.test('Cancel of 0: no request is answered, one Close of code 1', async t => {
    const { peer } = await served(t, 'sync', { sync: () => new Promise(() => {}) })
    peer.send(msg.payload({ reqID: 1 }), msg.payload({ reqID: 2, payload: new Uint8Array(5000), more: true }), msg.cancel())
    await peer.expect('close', { errCode: Category.Canceled })
    await peer.expectSilence()
  })

  await t.test('ErrCode on a stream is an error of the session, from either side', async t => {
    const { peer } = await served(t, 'biDir')
    peer.send(msg.payload({ payload: text('x'), errCode: 5 }))
    await peer.expect('close', { errCode: Category.InvalidArgument })

    const { client, peer: server } = call(t)
    client.biDir('p', 'S', 'BiDir')
    const open = await server.expect('open')
    server.send(accept(open), msg.payload({ payload: text('x'), errCode: 5 }))
    await server.expect('close', { errCode: Category.InvalidArgument })
  })

  await t.test('an error text is at most 4 KiB, cut by the sender', async t => {
    const { peer } = await served(t, 'sync', { sync: () => Promise.reject(new RpcError(Category.Aborted, '\u{1f600}'.repeat(5000))) })
    peer.send(msg.payload({ reqID: 1 }))
    const { error } = await peer.expect('payload', { errCode: Category.Aborted })
    t.ok(Buffer.byteLength(error) <= 4 * KIB && error.length > 500)
  })

  await t.test('a server closes a synchronous session only after answering what it started', async t => {
    const { peer, conn } = await served(t, 'sync', { sync: () => new Promise(() => {}) }, { maxRequestsPerConnection: 2 })
    peer.send(...[1, 2, 3].map((reqID) => msg.payload({ reqID, payload: text('x') })))
    await settle()
    watch(conn.close())
    await peer.expect('payload', { reqID: 1, errCode: Category.Unavailable })
    await peer.expect('payload', { reqID: 2, errCode: Category.Unavailable })
    await peer.expect('close', { errCode: Category.Unavailable })
  })

  await t.test('on stream Payloads DeadlineMS is ignored', async t => {
    const { peer, clock } = await served(t, 'biDir', { async biDir (_context, stream) { for await (const bytes of stream.recv()) await stream.send(bytes) } })
    peer.send(msg.payload({ payload: text('x'), deadlineMS: 1n }))
    clock.advance(10)
    await peer.expect('payload', { payload: text('x') })
    await peer.expectSilence()
  })

  await t.test('a deadline counts from the arrival of the first chunk', async t => {
    const { peer, clock } = await served(t, 'sync', { sync: () => new Promise(() => {}) })
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(5000), more: true, deadlineMS: 100n }))
    await settle()
    clock.advance(60)
    peer.send(msg.payload({ reqID: 1, payload: text('!') }))
    await peer.expectSilence()
    clock.advance(40)
    await peer.expect('payload', { reqID: 1, errCode: Category.DeadlineExceeded })
  })

  await t.test('and passes also while chunks are missing', async t => {
    const { peer, clock } = await served(t, 'sync', { sync: (_context, request) => request })
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(5000), more: true, deadlineMS: 100n }))
    await settle()
    clock.advance(100)
    peer.send(msg.payload({ reqID: 1, payload: text('!') }))
    await peer.expect('payload', { reqID: 1, errCode: Category.DeadlineExceeded })
    await peer.expectSilence()
  })
})

t.test('5. Streams', async t => {
  await t.test('a 1.1 client always ends its half of a Recv session', async t => {
    for (const [request, chunks] of [[undefined, 0], [text('x'), 0], [new Uint8Array(100_000), 2]] as const) {
      const { client, peer } = call(t)
      client.recv('p', 'S', 'Recv', request === undefined ? {} : { request })
      const open = await peer.expect('open')
      peer.send(accept(open))
      await settle()
      const payloads = peer.all('payload')
      t.equal(payloads.length, chunks)
      t.ok(chunks === 0 ? open.first?.endStream : payloads.at(-1)?.endStream)
    }
  })

  await t.test('anything after the request of a Recv session is an error of the session', async t => {
    const { peer } = await served(t, 'recv')
    peer.send(msg.payload({ payload: text('x'), endStream: true }), msg.payload({ payload: text('y') }))
    const close = await peer.expect('close')
    t.not(close.errCode, 0)
  })

  await t.test('a 1.1 client does not Close a Send session whose answer it wants', async t => {
    const { client, peer } = call(t)
    const stream = client.send('p', 'S', 'Send')
    const open = await peer.expect('open')
    peer.send(accept(open))
    watch(stream.close())
    await peer.expect('payload', { endStream: true })
    await peer.expectSilence()
  })

  await t.test('Close and Cancel of the client and the loss of the connection abort the handler, whose sends fail', async t => {
    for (const end of [msg.close(), msg.cancel(), undefined]) {
      const failed = deferred<RpcError>()
      const { peer } = await served(t, 'biDir', { async biDir (context, stream) { await forEver(context); await stream.send(text('x')).catch(failed.resolve) } })
      await settle()
      if (end === undefined) peer.transport.destroy()
      else peer.send(end)
      const { category } = await failed.promise
      t.equal(category, Category.Canceled)
    }
  })

  await t.test("a handler's input ends well only at EndStream", async t => {
    const outcome = deferred<unknown>()
    const { peer } = await served(t, 'send', { async send (_context, stream) { try { for await (const bytes of stream.recv()) t.ok(bytes); outcome.resolve('well') } catch (error) { outcome.resolve(error) } } })
    peer.send(msg.payload({ payload: text('x') }), msg.close())
    t.match(await outcome.promise, { category: Category.Canceled })
  })
})

t.test('6. Interleaving', async t => {
  await t.test('Compression applies before cutting and stands on the first chunk', async t => {
    const { gzipSync } = await import('node:zlib')
    const plain = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 24) & 0xff))
    const packed = new Uint8Array(gzipSync(plain, { level: 0 }))
    const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { for await (const bytes of stream.recv()) await stream.send(text(String(Buffer.compare(bytes, plain)))) } })
    peer.send(
      msg.payload({ payload: packed.subarray(0, 60_000), compression: 1, more: true }),
      msg.payload({ payload: packed.subarray(60_000, 120_000), more: true })
    )
    await settle()
    peer.ignored.add('windowUpdate')
    peer.send(msg.payload({ payload: packed.subarray(120_000, 180_000), more: true }), msg.payload({ payload: packed.subarray(180_000) }))
    await peer.expect('payload', { payload: text('0') })
  })

  await t.test('a chunk with More carries at least 4 KiB and ends nothing', async t => {
    for (const bad of [{ payload: new Uint8Array(4095) }, { payload: new Uint8Array(5000), endStream: true }, { payload: new Uint8Array(5000), errCode: 1 }]) {
      const { peer } = await served(t, 'biDir')
      peer.send(msg.payload({ more: true, ...bad }))
      const close = await peer.expect('close')
      t.not(close.errCode, 0)
    }
  })

  await t.test('at most one message is unfinished; whole messages of other ReqIDs may go between', async t => {
    const { peer } = await served(t, 'sync')
    peer.send(msg.payload({ reqID: 1, payload: new Uint8Array(5000), more: true }), msg.payload({ reqID: 2, payload: text('between') }))
    await peer.expect('payload', { reqID: 2, payload: text('between') })
    peer.send(msg.payload({ reqID: 3, payload: new Uint8Array(5000), more: true }))
    const close = await peer.expect('close')
    t.not(close.errCode, 0)
  })

  await t.test('sessions with credit take turns, one chunk each: a small message waits for one chunk of each other', async t => {
    const { peer } = await served(t, 'biDir', {
      async biDir (context, stream) {
        for await (const bytes of stream.recv()) stream.send(new Uint8Array(Number(str(bytes)))).catch(() => {})
        await forEver(context)
      }
    }, {}, { window: 1 << 20 })
    for (let i = 2; i <= 4; i++) {
      peer.send(msg.open({ openID: i, descr: names.biDir, window: 1 << 20 }))
      await peer.expect('openAck')
    }
    for (let sessionID = 1; sessionID <= 3; sessionID++) peer.send(msg.payload({ sessionID, payload: text('900000') }))
    peer.send(msg.payload({ sessionID: 4, payload: text('100') }))
    const order: number[] = []
    for (let sessionID = 0; sessionID !== 4;) {
      ({ sessionID } = await peer.expect('payload'))
      order.push(sessionID)
    }
    t.ok(order.length <= 3 + 3 + 1, `before it: ${order.join()}`)
  })

  await t.test('the receiver credits the chunks of an unfinished message as it stores them, in the order of the places', async t => {
    const { peer } = await served(t, 'biDir', {}, { windowBytes: 128 * KIB, reassemblyPlaces: 2 })
    for (const openID of [2, 3]) {
      peer.send(msg.open({ openID, descr: names.biDir }))
      await peer.expect('openAck')
    }
    const chunk = (sessionID: number): Payload => msg.payload({ sessionID, payload: new Uint8Array(50_000), more: true })
    peer.send(chunk(1), chunk(2), chunk(3), chunk(3))
    peer.send(chunk(1))
    await peer.expect('windowUpdate', { sessionID: 1 })
    await peer.expectSilence()
    peer.send(msg.close())
    await peer.expect('windowUpdate', { sessionID: 3 })
  })

  await t.test('without a place a message waits at its window', async t => {
    const { client, peer } = call(t)
    const stream = client.biDir('p', 'S', 'BiDir')
    const open = await peer.expect('open')
    peer.send(accept(open, { window: 128 * KIB }))
    watch(stream.send(new Uint8Array(300_000)))
    await peer.expect('payload')
    await peer.expect('payload')
    await peer.expectSilence()
  })

  await t.test('reassembly copies chunks', async t => {
    const got = deferred<Uint8Array>()
    const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { for await (const bytes of stream.recv()) got.resolve(bytes) } })
    peer.send(msg.payload({ payload: new Uint8Array(5000).fill(1), more: true }), msg.payload({ payload: new Uint8Array(10).fill(2) }))
    const bytes = await got.promise
    t.equal(bytes.byteLength, 5010)
    t.ok(bytes.buffer.byteLength < 11_000)
  })

  await t.test('the joined message is bounded, as it came and decompressed: 8 for the request, Close 8 for a stream', async t => {
    const { gzipSync } = await import('node:zlib')
    const bomb = new Uint8Array(gzipSync(new Uint8Array(1 << 20)))
    const requests = await served(t, 'sync', {}, { maxRecvMsgSize: 20_000 })
    requests.peer.send(
      msg.payload({ reqID: 1, payload: new Uint8Array(15_000), more: true }), msg.payload({ reqID: 1, payload: new Uint8Array(15_000) }),
      msg.payload({ reqID: 2, payload: bomb, compression: 1 }), msg.payload({ reqID: 3, payload: text('x') })
    )
    const codes = new Map<number, number>()
    for (let i = 0; i < 3; i++) {
      const { reqID, errCode } = await requests.peer.expect('payload')
      codes.set(reqID, errCode)
    }
    t.same([codes.get(1), codes.get(2), codes.get(3)], [8, 8, 0])

    const plain = await served(t, 'biDir', {}, { maxRecvMsgSize: 20_000 })
    plain.peer.send(msg.payload({ payload: new Uint8Array(15_000), more: true }), msg.payload({ payload: new Uint8Array(15_000) }))
    await plain.peer.expect('close', { errCode: 8 })
    const bombed = await served(t, 'biDir', { async biDir (_context, stream) { for await (const bytes of stream.recv()) await stream.send(bytes) } }, { maxRecvMsgSize: 20_000 })
    bombed.peer.send(msg.payload({ payload: bomb, compression: 1 }))
    await bombed.peer.expect('close', { errCode: 8 })
  })

  await t.test('a server that answers before the last chunk keeps the ReqID and discards its chunks until then', async t => {
    const { peer } = await served(t, 'sync', {}, { maxRecvMsgSize: 10_000 })
    const chunk = msg.payload({ reqID: 1, payload: new Uint8Array(6000), more: true })
    peer.send(chunk, chunk)
    await peer.expect('payload', { reqID: 1, errCode: 8 })
    peer.send(chunk, chunk, msg.payload({ reqID: 1, payload: text('end') }))
    await peer.expectSilence()
    peer.send(msg.payload({ reqID: 1, payload: text('new') }))
    await peer.expect('payload', { reqID: 1, payload: text('new') })
  })

  await t.test('Cancel ends it too, and then the ReqID may be used again', async t => {
    const { peer } = await served(t, 'sync', {}, { maxRecvMsgSize: 10_000 })
    const chunk = msg.payload({ reqID: 1, payload: new Uint8Array(6000), more: true })
    peer.send(chunk, chunk)
    await peer.expect('payload', { reqID: 1, errCode: 8 })
    peer.send(msg.cancel({ reqID: 1 }), msg.payload({ reqID: 1, payload: text('new') }))
    await peer.expect('payload', { reqID: 1, payload: text('new') })
  })

  await t.test('MaxPayloadSize is what its sender accepts; larger messages fail locally with 8', async t => {
    const refused = deferred<RpcError>()
    const { peer } = await served(t, 'biDir', { async biDir (_context, stream) { await stream.send(new Uint8Array(1001)).catch(refused.resolve) } }, { maxRecvMsgSize: 777_777 }, { maxPayloadSize: 1000 })
    t.equal((await refused.promise).category, Category.ResourceExhausted)
    t.equal(peer.all('openAck')[0]?.maxPayloadSize, 777_777)
    const requests = await served(t, 'sync', { sync: () => new Uint8Array(1001) }, {}, { maxPayloadSize: 1000 })
    requests.peer.send(msg.payload({ reqID: 1 }))
    await requests.peer.expect('payload', { reqID: 1, errCode: 8 })
  })
})

t.test('7. Draining', async t => {
  await t.test('an idle synchronous session does not hold up a drain: Close 14, half a second after the GoAway', async t => {
    const { peer, conn, clock } = await served(t, 'sync')
    conn.startDraining()
    await peer.expect('goAway', { errCode: 0, lastSessionID: 1 })
    await peer.expectSilence()
    clock.advance(500)
    await peer.expect('close', { errCode: 14 })
  })

  await t.test('a request that crosses the GoAway is served', async t => {
    const { peer, conn } = await served(t, 'sync', { sync: (_context, request) => request })
    conn.startDraining()
    peer.send(msg.payload({ reqID: 1, payload: text('x') }))
    await peer.expect('goAway')
    await peer.expect('payload', { reqID: 1, payload: text('x'), errCode: 0 })
  })

  await t.test('an Open that crosses GoAway gets 14 and its First does not run', async t => {
    let ran = false
    const { peer, conn } = await served(t, 'biDir', { sync: () => { ran = true; return NO_BYTES } })
    conn.startDraining()
    peer.send(msg.open({ openID: 2, descr: names.sync, first: msg.first({ reqID: 1 }) }))
    await peer.expect('goAway')
    await peer.expect('openAck', { openID: 2, errCode: 14 })
    t.notOk(ran)
  })

  await t.test('the client opens nothing more, lets running ones finish, closes when the last is done', async t => {
    const { client, peer } = call(t)
    const stream = client.biDir('p', 'S', 'BiDir')
    const open = await peer.expect('open')
    peer.send(accept(open), msg.goAway())
    await settle()
    watch(client.sync('p', 'S', 'Sync').call(text('x')))
    watch(stream.send(text('still')))
    await peer.expect('payload', { payload: text('still') })
    await peer.expectSilence()
    peer.send(msg.close())
    await peer.expectEnd()
  })
})

t.test('8. Bounds and faults', async t => {
  await t.test('256 sessions, the next is refused with 8', async t => {
    const { peer } = serve(t)
    for (let i = 1; i <= 257; i++) peer.send(msg.open({ openID: i, descr: names.biDir }))
    for (let i = 1; i <= 256; i++) await peer.expect('openAck', { openID: i, errCode: 0 })
    await peer.expect('openAck', { openID: 257, errCode: 8 })
  })

  await t.test('1024 running requests, more wait uncredited', async t => {
    let running = 0
    const { peer } = await served(t, 'sync', { sync: () => { running++; return new Promise(() => {}) } }, { windowBytes: 1 << 20 })
    for (let i = 1; i <= 1100; i++) peer.send(msg.payload({ reqID: i, payload: text('x') }))
    await settle()
    t.equal(running, 1024)
  })

  await t.test('an undecodable frame is GoAway 13 with a text, then the end', async t => {
    const { peer } = await served(t, 'sync')
    const frame = frameOf(msg.payload({ reqID: 1, payload: text('x') }))
    frame[24 + 2] = 0x0d // SessionID as bytes
    peer.sendBytes(frame)
    const goAway = await peer.expect('goAway', { errCode: 13 })
    t.not(goAway.debugData, '')
    await peer.expectEnd()
  })

  await t.test('frames for a session that has ended are ignored without penalty', async t => {
    const { peer } = await served(t, 'sync')
    peer.send(msg.close())
    for (let i = 0; i < 150; i++) peer.send(...Array.from({ length: 100 }, () => msg.payload({ payload: text('late') })))
    peer.send(msg.ping(1))
    await peer.expect('pong')
  })

  await t.test('either side may Ping; the other answers with the same ID', async t => {
    const { peer } = serve(t)
    peer.send(msg.ping(123))
    await peer.expect('pong', { id: 123 })
    const { peer: server } = call(t)
    server.send(msg.ping(321))
    await server.expect('pong', { id: 321 })
  })
})

t.test('toward a 1.0 peer not a byte of 1.1, beyond the new fields of an Open', async t => {
  const isPure = (t: Test, set: ScriptedClient | ScriptedServer): void => {
    for (const { message } of set.peer.heard) {
      if (message.type === MsgType.OpenAck) t.equal(message.window, 0)
      else if (message.type === MsgType.Payload) t.match(message, { errCode: 0, error: '', deadlineMS: 0n, more: false })
      else if (message.type === 0 || message.type === MsgType.WindowUpdate) t.fail('a message of 1.1')
    }
  }

  await t.test('a server, for all kinds and ends', async t => {
    const set = serve(t, {
      sync: (_context, request) => {
        if (str(request) === 'fail') throw new RpcError(Category.NotFound, 'no')
        return new Uint8Array(300_000)
      },
      async biDir (_context, stream) { for await (const bytes of stream.recv()) await stream.send(new Uint8Array(bytes.byteLength)) },
      async send (_context, stream) { let bytes = 0; for await (const chunk of stream.recv()) bytes += chunk.byteLength; return text(String(bytes)) },
      async recv (_context, stream) { for (let i = 0; i < 10; i++) await stream.send(new Uint8Array(200_000)) }
    })
    const { peer, clock, conn } = set
    const big = new Uint8Array(500_000)
    // A careless 1.0 client that says things it should not know.
    peer.send(msg.open({ protocolMinor: 0, descr: names.sync, window: 5, first: msg.first({ reqID: 1, payload: text('x') }) }))
    peer.send(msg.payload({ reqID: 1, payload: big }), msg.payload({ reqID: 2, payload: text('fail') }))
    peer.send(msg.open({ openID: 2, protocolMinor: 0, descr: names.biDir }), msg.payload({ sessionID: 2, payload: big }), msg.payload({ sessionID: 2, payload: big, endStream: true }))
    peer.send(msg.open({ openID: 3, protocolMinor: 0, descr: names.send }), msg.payload({ sessionID: 3, payload: big }), msg.payload({ sessionID: 3, endStream: true }), msg.close({ sessionID: 3 }))
    peer.send(msg.open({ openID: 4, protocolMinor: 0, descr: names.recv }), msg.open({ openID: 5, protocolMinor: 0, descr: names.biDir }), msg.cancel({ sessionID: 5 }), msg.update(5, 1))
    await settle(100)
    clock.advance(5)
    await until(() => peer.all('close').length === 5)
    watch(conn.gracefulClose())
    await peer.expectEnd()
    t.equal(peer.all('payload').filter((payload) => payload.sessionID === 4).length, 11)
    isPure(t, set)
  })

  await t.test('a client, for all kinds and ends', async t => {
    const set = call(t, { windowBytes: 200_000 })
    const { client, peer, clock } = set
    const calls = [watch(client.sync('p', 'S', 'Sync').call(new Uint8Array(1000))), watch(client.sync('p', 'S', 'Sync').call(text('x'), { metadata: { k: 'v' }, timeoutMs: 5000 }))]
    const streams = [client.biDir('p', 'S', 'BiDir'), client.send('p', 'S', 'Send'), client.recv('p', 'S', 'Recv')] as const
    watch(streams[0].send(new Uint8Array(300_000)))
    watch(streams[1].send(new Uint8Array(300_000)))
    streams[0].closeSend()
    watch(streams[1].close())
    let sessionID = 0
    const answerOpens = async (): Promise<void> => {
      for (const open of peer.all('open').slice(sessionID)) peer.send(msg.ack({ openID: open.openID, sessionID: ++sessionID, protocolMinor: 0 }))
      await settle()
    }
    await settle()
    await answerOpens()
    await answerOpens()
    for (let i = 1; i <= sessionID; i++) peer.send(msg.payload({ sessionID: i, reqID: 1, payload: new Uint8Array(300_000) }))
    await settle()
    t.ok(calls.every((call) => call.error === undefined))
    streams[2].cancel()
    clock.advance(5000)
    await client.close()
    isPure(t, set)
    t.ok(peer.all('open').every((open) => open.protocolMinor === 1), 'an Open may have them')
  })

  await t.test('a client that was told to speak 1.0 has nothing new in its Opens either', async t => {
    const { client, peer } = call(t, { minorVersion: 0 })
    watch(client.sync('p', 'S', 'Sync').call(text('x'), { timeoutMs: 500, metadata: { k: 'v' } }))
    client.recv('p', 'S', 'Recv', { request: text('x') })
    for (let i = 0; i < 2; i++) {
      const open = await peer.expect('open', { protocolMinor: 0, window: 0 })
      t.equal(open.first, undefined)
    }
  })
})
