// The connection as its peer meets it: versions, numbers, floods, pings, time.
import t from 'tap'
import type { Test } from 'tap'
import { Category, ErrorCode } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SyncHandler } from '../../lib/server/handlers.js'
import type { Server } from '../../lib/server/server.js'
import { memoryPair } from '../../lib/transport/memory.js'
import { MsgType } from '../../lib/wire/message.js'
import type { ServerOptions } from '../../types/options.js'
import { frameOf, msg, names, scriptedClient, scriptedServer, settle, text, until, watch, ScriptedPeer } from '../helpers/scripted-peer.js'
import type { ScriptedClient } from '../helpers/scripted-peer.js'

const register = (server: Server): void => {
  server.register('p', 'S', 'Sync', new SyncHandler((_context, request) => request))
  server.register('p', 'S', 'BiDir', new BiDirHandler(async (_context, stream) => { for await (const bytes of stream.recv()) await stream.send(bytes) }))
  // Waits until nobody is interested any more.
  server.register('p', 'S', 'Recv', new RecvHandler((context) => new Promise((resolve) => { context.signal.addEventListener('abort', () => { resolve() }) })))
}
const setUp = (t: Test, options: ServerOptions = {}): ScriptedClient => scriptedClient(t, options, register)

t.test('negotiation', async t => {
  const cases: { server: 0 | 1, client: number, agreed: 0 | 1 }[] = [
    { server: 1, client: 0, agreed: 0 },
    { server: 1, client: 1, agreed: 1 },
    { server: 1, client: 7, agreed: 1 },
    { server: 0, client: 0, agreed: 0 },
    { server: 0, client: 1, agreed: 0 },
    { server: 0, client: 255, agreed: 0 }
  ]
  for (const { server, client, agreed } of cases) {
    await t.test(`a server of minor ${server} and a client of ${client} speak ${agreed}`, async t => {
      const { peer, conn } = setUp(t, { minorVersion: server })
      t.equal(conn.minor, undefined)
      peer.send(msg.open({ protocolMinor: client, descr: names.sync }))
      await peer.expect('openAck', { protocolMajor: 1, protocolMinor: agreed, sessionID: 1, errCode: 0, window: agreed === 1 ? 256 * 1024 : 0 })
      t.equal(conn.minor, agreed)
    })
  }

  await t.test('the first Open fixes it, also a refused one', async t => {
    const { peer, conn } = setUp(t)
    peer.send(msg.open({ protocolMinor: 0, descr: { ...names.sync, call: 'Missing' } }))
    await peer.expect('openAck', { errCode: Category.Unimplemented, protocolMinor: 0 })
    peer.send(msg.open({ openID: 2, protocolMinor: 1, descr: names.sync }))
    await peer.expect('openAck', { openID: 2, protocolMinor: 0, window: 0 })
    t.equal(conn.minor, 0)
  })

  await t.test('another major is refused with both named, and fixes nothing', async t => {
    const { peer, conn } = setUp(t)
    peer.send(msg.open({ protocolMajor: 2, protocolMinor: 0, descr: names.sync }))
    const ack = await peer.expect('openAck', { errCode: Category.FailedPrecondition, sessionID: 0 })
    t.match(ack.error, /2.*1/)
    t.equal(conn.minor, undefined)
    peer.send(msg.open({ protocolMajor: 0, protocolMinor: 1, descr: names.sync }))
    await peer.expect('openAck', { errCode: 0, protocolMinor: 1 })
    t.equal(conn.minor, 1, 'an absent major counts as 1')
  })

  for (const { server: client, client: server, agreed } of cases) {
    await t.test(`a client of minor ${client} and a server of ${server} speak ${agreed}`, async t => {
      const { client: caller, peer } = scriptedServer(t, { minorVersion: client })
      watch(caller.sync('p', 'S', 'Sync').call(text('x')))
      const open = await peer.expect('open', { protocolMajor: 1, protocolMinor: client, window: client === 1 ? 256 * 1024 : 0 })
      t.equal(open.first !== undefined, client === 1)
      t.equal(caller.minor, undefined)
      peer.send(msg.ack({ openID: open.openID, sessionID: 1, protocolMinor: server }))
      await settle()
      t.equal(caller.minor, agreed)
    })
  }

  await t.test('the first OpenAck fixes it for the client, also one nobody waits for', async t => {
    const { client, peer } = scriptedServer(t)
    const controller = new AbortController()
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x'), { signal: controller.signal }))
    const open = await peer.expect('open')
    controller.abort()
    await settle()
    t.equal(call.error?.category, Category.Canceled)
    peer.send(msg.ack({ openID: open.openID, sessionID: 1, protocolMinor: 0 }))
    await peer.expect('close', { sessionID: 1 })
    t.equal(client.minor, 0)
  })

  await t.test('a server of another major is no server for us', async t => {
    const { client, peer } = scriptedServer(t)
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    const open = await peer.expect('open')
    peer.send(msg.ack({ openID: open.openID, protocolMajor: 3, protocolMinor: 1, errCode: 9, error: 'no' }))
    await until(() => call.isSettled)
    t.equal(call.error?.code, ErrorCode.VERSION_MISMATCH)
    t.equal(client.minor, undefined)
  })
})

t.test('numbers of sessions', async t => {
  await t.test('that have ended are ignored, however much comes', async t => {
    const { peer, clock } = setUp(t)
    peer.send(msg.open({ descr: names.sync }), msg.close())
    await peer.expect('openAck')
    for (let i = 0; i < 300; i++) {
      peer.send(...Array.from({ length: 100 }, () => msg.payload({ payload: text('late') })), msg.update(1, 5), msg.cancel(), msg.close())
    }
    peer.send(msg.ping(5))
    await peer.expect('pong', { id: 5 })
    clock.advance(1000)
    await peer.expectSilence()
  })

  for (const [what, message] of Object.entries({
    payload: msg.payload({ sessionID: 2 }),
    cancel: msg.cancel({ sessionID: 2 }),
    close: msg.close({ sessionID: 2 }),
    update: msg.update(2, 100),
    'payload of session 0': msg.payload({ sessionID: 0 })
  })) {
    await t.test(`never issued: a ${what} costs a 1.1 peer the connection`, async t => {
      const { peer, conn } = setUp(t)
      peer.send(msg.open({ descr: names.sync }))
      await peer.expect('openAck')
      peer.send(message)
      const goAway = await peer.expect('goAway', { errCode: Category.Internal })
      t.match(goAway.debugData, /unknown session/)
      await peer.expectEnd()
      t.equal(conn.error?.code, ErrorCode.PROTOCOL)
    })

    await t.test(`never issued: a ${what} of a 1.0 peer is ignored`, async t => {
      const { peer } = setUp(t)
      peer.send(msg.open({ protocolMinor: 0, descr: names.sync }))
      await peer.expect('openAck')
      peer.send(message, msg.ping(1))
      await peer.expect('pong')
    })
  }

  await t.test('a WindowUpdate for session 0 or of 0 bytes is ignored', async t => {
    const { peer } = setUp(t)
    peer.send(msg.open({ descr: names.sync }))
    await peer.expect('openAck')
    peer.send(msg.update(0, 100), msg.update(1, 0), msg.ping(1))
    await peer.expect('pong')
    await peer.expectSilence()
  })

  await t.test('a session number given twice is a fault of the server', async t => {
    const { client, peer } = scriptedServer(t)
    const calls = [watch(client.sync('p', 'S', 'A').call(text('x'))), watch(client.sync('p', 'S', 'B').call(text('x')))]
    const [one, two] = [await peer.expect('open'), await peer.expect('open')]
    peer.send(msg.ack({ openID: one.openID, sessionID: 1 }), msg.ack({ openID: two.openID, sessionID: 1 }))
    await peer.expect('goAway', { errCode: Category.Internal })
    await until(() => calls.every((call) => call.isSettled))
    t.same(calls.map((call) => call.error?.category), [Category.Unavailable, Category.Unavailable])
  })
})

t.test('messages of the other role cost the connection', async t => {
  const server = setUp(t)
  server.peer.send(msg.ack({ openID: 1, sessionID: 1 }))
  await server.peer.expect('goAway', { errCode: Category.Internal })
  await server.peer.expectEnd()

  const client = scriptedServer(t)
  client.peer.send(msg.open({ descr: names.sync }))
  await client.peer.expect('goAway', { errCode: Category.Internal })
  await client.peer.expectEnd()
  const reason = await client.client.closed
  t.equal(reason?.code, ErrorCode.PROTOCOL)
})

t.test('a message of a type nobody knows is ignored', async t => {
  const { peer } = setUp(t)
  const frame = frameOf(msg.ping(1))
  // Type 200, and the body under a number nobody knows.
  frame[8 + 3] = 200
  frame[16] = 200
  peer.sendBytes(frame)
  peer.send(msg.ping(2))
  await peer.expect('pong', { id: 2 })
})

t.test('a GoAway of a client is ignored', async t => {
  const { peer } = setUp(t)
  peer.send(msg.goAway({ errCode: 3, debugData: 'bye' }), msg.ping(1))
  await peer.expect('pong')
})

t.test('floods', async t => {
  const flood = (make: (i: number) => Parameters<ScriptedPeer['send']>[0], prepare = false) => async (t: Test): Promise<void> => {
    const { peer, conn } = setUp(t)
    peer.ignored.add('pong').add('openAck')
    if (prepare) peer.send(msg.open({ descr: names.sync }))
    for (let i = 0; i < 101; i++) peer.send(...Array.from({ length: 100 }, (_, at) => make(i * 100 + at)))
    await peer.expect('goAway', { errCode: Category.ResourceExhausted, debugData: 'too many control frames' })
    await peer.expectEnd()
    t.equal(conn.connection.state, 'closed')
  }
  await t.test('of Pings', flood((i) => msg.ping(i)))
  await t.test('of Pongs', flood((i) => msg.pong(i)))
  await t.test('of GoAways', flood(() => msg.goAway()))
  await t.test('of Opens to missing methods', flood((i) => msg.open({ openID: i, descr: { ...names.sync, call: 'Missing' } })))
  await t.test('of Cancels', flood((i) => msg.cancel({ reqID: i + 1 }), true))

  await t.test('the count begins anew after ten seconds', async t => {
    const { peer, clock } = setUp(t, { handshakeTimeoutMs: 0 })
    for (let i = 0; i < 5; i++) {
      for (let k = 0; k < 90; k++) peer.send(...Array.from({ length: 100 }, (_, at) => msg.ping(at + 1)))
      await settle()
      for (let k = 0; k < 11; k++) clock.advance(1000)
    }
    await settle()
    t.notOk(peer.isClosed)
    t.equal(peer.all('goAway').length, 0)
  })

  await t.test('WindowUpdates do not count', async t => {
    const { peer } = setUp(t)
    peer.send(msg.open({ descr: names.sync }))
    for (let i = 0; i < 200; i++) peer.send(...Array.from({ length: 100 }, () => msg.update(1, 1)))
    peer.send(msg.ping(1))
    await peer.expect('openAck')
    await peer.expect('pong')
  })
})

t.test('pings', async t => {
  await t.test('are answered with their number', async t => {
    const { peer } = setUp(t)
    peer.send(msg.ping(77), msg.ping(0xffffffff))
    await peer.expect('pong', { id: 77 })
    await peer.expect('pong', { id: 0xffffffff })
  })

  await t.test('without a body, as a Go client sends them, count as number 0', async t => {
    const { peer } = setUp(t)
    // Root header, type; no body.
    peer.sendBytes(new Uint8Array([0, 0, 0x0e, 0x18, 0, 0, 0, 0, 0, 0, 0x06, MsgType.Ping, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]))
    await peer.expect('pong', { id: 0 })
  })

  await t.test('while the transport is full only the newest is answered', async t => {
    const { peer } = setUp(t)
    peer.send(msg.open({ descr: names.biDir, window: 1 << 20 }))
    await peer.expect('openAck')
    peer.transport.pause()
    for (let i = 0; i < 4; i++) peer.send(msg.payload({ payload: new Uint8Array(60_000) }))
    await settle()
    for (let i = 1; i <= 50; i++) peer.send(msg.ping(i))
    await settle()
    t.equal(peer.all('pong').length, 0)
    peer.transport.resume()
    await settle()
    const pongs = peer.all('pong').map((pong) => pong.id)
    t.same(pongs, [50])
    peer.send(msg.ping(51))
    await settle()
    t.same(peer.all('pong').at(-1)?.id, 51, 'and then again each')
  })
})

t.test('a peer that does not read', async t => {
  await t.test('but asks is given up when its answers are too many', async t => {
    const { peer, conn } = setUp(t)
    peer.transport.pause()
    for (let i = 0; i < 90; i++) {
      // Opened and closed again: no flood of control frames, only answers nobody reads.
      peer.send(...Array.from({ length: 100 }, (_, at) => [msg.open({ openID: 1 + i * 100 + at, descr: names.sync }), msg.close({ sessionID: 1 + i * 100 + at })]).flat())
      await settle(3)
    }
    await until(() => conn.connection.state === 'closed')
    t.equal(conn.error?.code, ErrorCode.SLOW_READER)
  })

  await t.test('and takes nothing for a minute is given up', async t => {
    const { peer, conn, clock } = setUp(t, { keepAliveIntervalMs: 0 })
    peer.send(msg.open({ descr: names.biDir }))
    await settle()
    peer.transport.pause()
    peer.send(msg.payload({ payload: new Uint8Array(60_000) }))
    await settle()
    for (let i = 0; i < 60; i++) clock.advance(1000)
    t.ok(conn.connection.isOpen)
    clock.advance(1000)
    t.notOk(conn.connection.isOpen)
    await settle()
    t.equal(conn.error?.code, ErrorCode.SLOW_READER)
    await conn.closed
  })

  await t.test('a slow one that takes a little now and then is not', async t => {
    const { peer, conn, clock } = setUp(t, { keepAliveIntervalMs: 0 })
    peer.send(msg.open({ descr: names.biDir, window: 1 << 20 }))
    await settle()
    for (let i = 0; i < 10; i++) {
      peer.transport.pause()
      peer.send(msg.payload({ payload: new Uint8Array(10_000) }))
      await settle()
      clock.advance(50_000)
      peer.transport.resume()
      await settle()
    }
    t.ok(conn.connection.isOpen)
  })

  await t.test('a busy connection is no slow one, however long it is busy', async t => {
    // The transport is kept full all the time, so that each of the many small replies meets a full one.
    const { peer, conn } = setUp(t)
    peer.send(msg.open({ descr: names.biDir, window: 0x7fffffff }), msg.open({ openID: 2, descr: names.sync }))
    await settle()
    let session = 3
    for (let i = 0; i < 60; i++) {
      peer.transport.pause()
      for (let k = 0; k < 3; k++) peer.send(msg.payload({ payload: new Uint8Array(60_000) }))
      await settle(3)
      peer.send(...Array.from({ length: 100 }, () => [msg.open({ openID: session, descr: names.sync }), msg.close({ sessionID: session++ })]).flat())
      await settle(3)
      peer.transport.resume()
      await settle(3)
    }
    t.ok(conn.connection.isOpen, `${peer.all('openAck').length} answers`)
  })
})

t.test('a client may open a lot at once', async t => {
  const { client, peer } = scriptedServer(t)
  peer.transport.pause()
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 25; i++) watch(client.biDir('p', 'S', 'BiDir').send(new Uint8Array(60_000)))
    await settle()
  }
  t.ok(client.isOpen, 'three megabytes of Opens are no replies')
  peer.transport.resume()
  await until(() => peer.all('open').length === 50)
})

t.test('the end', async t => {
  await t.test('inside a frame is a loss', async t => {
    const { peer, conn } = setUp(t)
    peer.sendBytes(frameOf(msg.ping(1)).subarray(0, 20))
    peer.transport.close()
    await conn.closed
    t.equal(conn.error?.code, ErrorCode.CONNECTION_LOST)
    t.match(conn.error?.message, /inside a frame/)
  })

  await t.test('between frames is a good one', async t => {
    const { peer, conn } = setUp(t)
    peer.send(msg.ping(1))
    peer.transport.close()
    await conn.closed
    t.equal(conn.error, undefined)
  })

  await t.test('fails what runs', async t => {
    const { client, peer } = scriptedServer(t)
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    await peer.expect('open')
    peer.transport.destroy()
    await until(() => call.isSettled)
    t.equal(call.error?.category, Category.Unavailable)
    t.equal(call.error?.code, ErrorCode.CONNECTION_LOST)
    t.equal((await client.closed)?.category, Category.Unavailable)
  })

  await t.test('of a peer that does not agree to it comes after a second', async t => {
    const [here, there] = memoryPair()
    const { clock, server } = setUp(t)
    const conn = server.connect(here)
    const peer = new ScriptedPeer(there)
    peer.transport.pause()
    conn.connection.close()
    await settle()
    t.equal(conn.connection.state, 'closing')
    clock.advance(1000)
    t.equal(conn.connection.state, 'closed')
    await conn.closed
  })
})

t.test('frames', async t => {
  await t.test('that say they are too large cost the connection before they come', async t => {
    const { peer } = setUp(t)
    const head = new Uint8Array(8)
    head[2] = 0x0e
    head.fill(0xff, 3)
    head[3] = 0xf8
    peer.sendBytes(head)
    const goAway = await peer.expect('goAway', { errCode: Category.Internal })
    t.match(goAway.debugData, /frame of 1099511627768 bytes/)
    await peer.expectEnd()
  })

  await t.test('may come in any pieces', async t => {
    const { peer } = scriptedClient(t, {}, register, { split: 7 })
    peer.send(msg.open({ descr: names.sync }), msg.payload({ reqID: 1, payload: text('hello') }))
    await peer.expect('openAck')
    await peer.expect('payload', { reqID: 1, payload: text('hello') })
  })

  await t.test('with the largest of everything an Open may carry are taken', async t => {
    const { peer } = setUp(t)
    peer.send(msg.open({ descr: names.sync }))
    await peer.expect('openAck')
    const metadata = (bytes: number): { key: string, value: Uint8Array }[] => [{ key: 'k', value: new Uint8Array(bytes - 40) }]
    peer.send(msg.open({
      openID: 2,
      descr: names.sync,
      metadata: metadata(64 * 1024),
      first: msg.first({ reqID: 1, payload: new Uint8Array(64 * 1024), metadata: metadata(16 * 1024) })
    }))
    await peer.expect('openAck', { openID: 2, errCode: 0 })
    await peer.expect('payload', { reqID: 1 })
  })

  await t.test('also on a 1.0 connection that takes small messages only', async t => {
    const { peer } = setUp(t, { maxRecvMsgSize: 4096 })
    const metadata = Array.from({ length: 2500 }, () => ({ key: 'k', value: text('v') }))
    for (const openID of [1, 2]) {
      peer.send(msg.open({ openID, descr: names.sync, protocolMinor: 0, metadata }))
      await peer.expect('openAck', { openID, errCode: 0 })
    }
  })

  await t.test('and keys of any language', async t => {
    const { peer } = setUp(t, { maxMetadataBytes: 1 << 20 })
    for (const openID of [1, 2]) {
      peer.send(msg.open({ openID, descr: names.sync, metadata: [{ key: '語'.repeat(1_000_000), value: text('v') }] }))
      await peer.expect('openAck', { openID, errCode: 0 })
    }
  })

  await t.test('with somewhat more metadata get a refusal, not the end', async t => {
    const { peer } = setUp(t)
    peer.send(msg.open({ descr: names.sync }))
    await peer.expect('openAck')
    peer.send(msg.open({ openID: 2, descr: names.sync, metadata: [{ key: 'k', value: new Uint8Array(70_000) }] }))
    await peer.expect('openAck', { openID: 2, errCode: Category.ResourceExhausted })
  })
})

t.test('a message that is not finished', async t => {
  const chunk = (more = true): ReturnType<typeof msg.payload> => msg.payload({ payload: new Uint8Array(10_000), more })

  await t.test('costs the session when it does not go on', async t => {
    const { peer, clock } = setUp(t, { keepAliveIntervalMs: 0 })
    peer.send(msg.open({ descr: names.biDir }), chunk())
    await peer.expect('openAck')
    clock.advance(25_000)
    peer.send(chunk())
    await peer.expectSilence()
    clock.advance(30_000)
    await peer.expectSilence()
    clock.advance(1000)
    await peer.expect('close', { errCode: Category.ResourceExhausted, error: 'message not finished' })
  })

  await t.test('not while the peer has no credit to go on with', async t => {
    const { peer, clock } = scriptedClient(t, { windowBytes: 128 * 1024, reassemblyPlaces: 2, keepAliveIntervalMs: 0 }, (server) => {
      server.register('p', 'S', 'BiDir', new BiDirHandler((context) => new Promise((resolve) => { context.signal.addEventListener('abort', () => { resolve() }) })))
    })
    for (const openID of [1, 2, 3]) {
      peer.send(msg.open({ openID, descr: names.biDir }))
      await peer.expect('openAck')
    }
    // The first two have the places; the third stands at its window.
    const more = (sessionID: number, bytes: number): void => { peer.send(msg.payload({ sessionID, payload: new Uint8Array(bytes), more: true })) }
    more(1, 5000)
    more(2, 5000)
    more(3, 60_000)
    more(3, 10_000)
    for (let i = 0; i < 4; i++) {
      clock.advance(20_000)
      more(1, 5000)
      more(2, 5000)
      await peer.expectSilence()
    }
    // It gets a place, and with it credit: from now on it has thirty seconds.
    peer.send(msg.close())
    await peer.expect('windowUpdate', { sessionID: 3 })
    await peer.expect('close', { sessionID: 1 })
    clock.advance(29_000)
    more(2, 5000)
    await peer.expectSilence()
    clock.advance(2000)
    await peer.expect('close', { sessionID: 3, error: 'message not finished' })
  })
})

t.test('an answer that gets no credit for a minute', async t => {
  const { peer, clock } = setUp(t, { keepAliveIntervalMs: 0 })
  peer.send(msg.open({ descr: names.biDir }))
  await peer.expect('openAck')
  for (let i = 0; i < 3; i++) peer.send(msg.payload({ payload: new Uint8Array(60_000) }))
  peer.ignored.add('windowUpdate')
  await peer.expect('payload')
  await peer.expect('payload')
  clock.advance(60_000)
  await peer.expectSilence()
  clock.advance(1000)
  await peer.expect('close', { errCode: Category.ResourceExhausted })
})
