// The client as a whole: close, drain, destroy, keepalive, options.
import t from 'tap'
import { connect } from '../../lib/client/connect.js'
import { Client } from '../../lib/client/client.js'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { memoryPair } from '../../lib/transport/memory.js'
import type { ClientOptions } from '../../types/client-options.js'
import type { Test } from 'tap'
import type { ScriptedServer } from '../helpers/scripted-peer.js'
import { msg, scriptedServer, settle, str, text, until, watch } from '../helpers/scripted-peer.js'

t.test('options may be inherited', async t => {
  class Defaults { get maxSendMsgSize (): number { return 10 } }
  const { client } = scriptedServer(t, new Defaults())
  const call = watch(client.sync('p', 'S', 'Sync').call(new Uint8Array(11)))
  await until(() => call.isSettled)
  t.match(call.error, { code: ErrorCode.MESSAGE_TOO_LARGE })
})

t.test('close', async t => {
  await t.test('fails what runs, tells the server, and resolves when it is over', async t => {
    const { client, peer, clock } = scriptedServer(t)
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    const pending = watch(client.sync('p', 'S', 'Pending').call(text('x')))
    const stream = client.biDir('p', 'S', 'BiDir')
    const [one, , three] = [await peer.expect('open'), await peer.expect('open'), await peer.expect('open')]
    peer.send(msg.ack({ openID: one.openID, sessionID: 1 }), msg.ack({ openID: three.openID, sessionID: 2 }))
    await settle()
    const closing = watch(client.close())
    await peer.expect('close', { sessionID: 1 })
    await peer.expect('close', { sessionID: 2 })
    await peer.expectEnd()
    await until(() => closing.isSettled)
    for (const error of [call.error, pending.error, await stream.ended]) t.match(error, { category: Category.Unavailable })
    t.equal(await client.closed, undefined, 'a good end')
    t.notOk(client.isOpen)
    t.equal(client.running, 0)
    t.equal(clock.pendingTimers, 0)
    await client.close()
  })

  await t.test('before anything was said', async t => {
    const { client, clock } = scriptedServer(t)
    await client.close()
    t.equal(clock.pendingTimers, 0)
    const late = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    await settle()
    t.equal(late.error?.code, ErrorCode.CLOSED)
    t.equal((await client.recv('p', 'S', 'Recv').ended)?.code, ErrorCode.CLOSED)
    t.equal(client.running, 0)
  })
})

t.test('drain lets calls finish and makes no new ones, asked for more than once', async t => {
  const { client, peer } = scriptedServer(t)
  const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
  const open = await peer.expect('open')
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await settle()
  const drains = [watch(client.drain()), watch(client.drain())]
  const late = watch(client.sync('p', 'S', 'Sync').call(text('y')))
  await settle()
  t.equal(late.error?.code, ErrorCode.CLOSED)
  t.notOk(drains[0]?.isSettled)
  peer.send(msg.payload({ reqID: 1, payload: text('answer') }))
  await until(() => drains.every((drain) => drain.isSettled))
  t.equal(str(call.value ?? new Uint8Array(0)), 'answer')
  await peer.expectEnd()
  await client.drain()
})

t.test('drain ends with the connection', async t => {
  const { client, peer } = scriptedServer(t)
  watch(client.sync('p', 'S', 'Sync').call(text('x')))
  await peer.expect('open')
  const drain = watch(client.drain())
  peer.transport.destroy()
  await until(() => drain.isSettled)
})

t.test('destroy ends it now', async t => {
  const { client, peer, clock } = scriptedServer(t)
  const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
  await peer.expect('open')
  client.destroy(new RpcError(Category.Aborted, 'enough'))
  await until(() => call.isSettled)
  t.match(call.error, { message: 'enough' })
  await peer.expectEnd()
  t.equal(clock.pendingTimers, 0)
  client.destroy()
})

t.test('a stream that was wished for and not yet opened when the connection went', async t => {
  const { client, peer } = scriptedServer(t)
  peer.transport.destroy()
  await settle(0)
  const stream = client.biDir('p', 'S', 'BiDir')
  const sending = watch(stream.send(text('x')))
  t.match(await stream.ended, { category: Category.Unavailable })
  await until(() => sending.isSettled)
  t.match(sending.error, { category: Category.Unavailable })
  t.equal(client.running, 0)
})

t.test('keepalive', async t => {
  /** A client that has said hello: it pings once when it has nothing to call yet. */
  const greeted = async (t: Test, options: ClientOptions = {}): Promise<ScriptedServer> => {
    const set = scriptedServer(t, options)
    set.clock.advance(1000)
    const { id } = await set.peer.expect('ping')
    set.peer.send(msg.pong(id))
    await settle()
    return set
  }

  await t.test('who has something to call says no hello', async t => {
    const { client, peer, clock } = scriptedServer(t)
    watch(client.sync('p', 'S', 'Sync').call(text('x')))
    await peer.expect('open')
    clock.advance(5000)
    await peer.expectSilence()
  })

  await t.test('a silent server is asked, and given up when it does not answer', async t => {
    const { client, peer, clock } = await greeted(t, { keepAliveIntervalMs: 30_000, keepAliveTimeoutMs: 10_000 })
    clock.advance(29_000)
    await peer.expectSilence()
    clock.advance(1000)
    const ping = await peer.expect('ping')
    t.not(ping.id, 0, 'a Go server dies of a Ping without a body')
    clock.advance(9000)
    await peer.expectSilence()
    t.ok(client.isOpen)
    clock.advance(1000)
    t.match(await client.closed, { code: ErrorCode.PING_TIMEOUT, category: Category.Unavailable })
  })

  await t.test('anything it says is an answer', async t => {
    const { client, peer, clock } = await greeted(t)
    for (let i = 0; i < 5; i++) {
      clock.advance(30_000)
      const ping = await peer.expect('ping')
      peer.send(i % 2 === 0 ? msg.pong(ping.id) : msg.ping(3))
      await settle()
      peer.ignored.add('pong')
    }
    clock.advance(28_000)
    await peer.expectSilence()
    t.ok(client.isOpen)
  })

  await t.test('0 asks nobody', async t => {
    const { peer, clock } = scriptedServer(t, { keepAliveIntervalMs: 0 })
    clock.advance(600_000)
    await peer.expectSilence()
  })

  await t.test('a server that pings is answered', async t => {
    const { peer } = scriptedServer(t)
    peer.send(msg.ping(9))
    await peer.expect('pong', { id: 9 })
  })
})

t.test('options', async t => {
  for (const [name, value] of Object.entries({ maxRecvMsgSize: 0, windowBytes: 1000, openTimeoutMs: 1.5, minorVersion: 2, keepAliveIntervalMs: -1, compression: 9 })) {
    t.throws(() => new Client(memoryPair()[0], { [name]: value }), { name: 'TypeError', code: ErrorCode.OPTION_INVALID }, name)
  }
  const connecting = watch(connect(memoryPair()[0]))
  await until(() => connecting.isSettled)
  t.ok(connecting.value?.isOpen)
  connecting.value?.destroy()
})

t.test('toward a 1.0 server what nobody reads pauses the transport', async t => {
  const { client, peer, clock } = scriptedServer(t)
  const stream = client.recv('p', 'S', 'Recv')
  const open = await peer.expect('open')
  peer.send(msg.ack({ openID: open.openID, sessionID: 1, protocolMinor: 0 }))
  for (let i = 0; i < 10; i++) peer.send(msg.payload({ payload: new Uint8Array(1 << 20) }))
  await settle()
  peer.send(msg.ping(1))
  clock.advance(5000)
  await peer.expect('pong', { id: 0 })
  let count = 0
  for await (const bytes of stream) if (bytes.byteLength > 0 && ++count === 10) break
  t.equal(count, 10)
  await peer.expect('pong', { id: 1 })
  await peer.expect('cancel', { sessionID: 1 })
})
