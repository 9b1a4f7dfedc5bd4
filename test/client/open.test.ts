// Opens and what becomes of them: late, refused, held back for packing, crossed by a GoAway.
import t from 'tap'
import { Category, ErrorCode } from '../../lib/errors.js'
import { RpcType } from '../../lib/wire/message.js'
import { msg, scriptedServer, settle, str, text, until, watch } from '../helpers/scripted-peer.js'

t.test('an Open says what the client is', async t => {
  const { client, peer } = scriptedServer(t, { maxRecvMsgSize: 12_345, windowBytes: 300_000 })
  watch(client.sync('pkg', 'Svc', 'Call').call(text('x'), { metadata: { key: 'value' }, timeoutMs: 1000 }))
  const open = await peer.expect('open', { protocolMajor: 1, protocolMinor: 1, maxPayloadSize: 12_345, window: 300_000, packing: false, deadlineMS: 1000n })
  t.match(open.descr, { package: 'pkg', service: 'Svc', call: 'Call', type: RpcType.Synchronous })
  t.match(open.metadata, [{ key: 'key' }])
  t.equal(str(open.first?.payload ?? new Uint8Array(0)), 'x')
})

t.test('a refusal keeps its code, its text and its metadata', async t => {
  const { client, peer } = scriptedServer(t)
  const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
  const stream = client.biDir('p', 'S', 'BiDir')
  const [one, two] = [await peer.expect('open'), await peer.expect('open')]
  peer.send(
    msg.ack({ openID: one.openID, errCode: Category.PermissionDenied, error: 'not you', metadata: [{ key: 'why', value: text('because') }] }),
    msg.ack({ openID: two.openID, errCode: 999, error: 'odd' })
  )
  await until(() => call.isSettled)
  t.match(call.error, { category: Category.PermissionDenied, message: 'not you' })
  t.equal((call.error as unknown as { metadata: { get (key: string): string } }).metadata.get('why'), 'because')
  const error = await stream.ended
  t.match(error, { category: Category.Unknown, message: 'odd' })
  t.equal(client.running, 0)
})

t.test('an acceptance nobody waits for is answered with Close', async t => {
  for (const protocolMinor of [0, 1]) {
    const { client, peer } = scriptedServer(t)
    const controller = new AbortController()
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x'), { signal: controller.signal }))
    const stream = client.biDir('p', 'S', 'BiDir')
    const [one, two] = [await peer.expect('open'), await peer.expect('open')]
    controller.abort()
    stream.cancel()
    await until(() => call.isSettled)
    t.equal(client.running, 0)
    peer.send(msg.ack({ openID: one.openID, sessionID: 1, protocolMinor }), msg.ack({ openID: two.openID, sessionID: 2, protocolMinor }), msg.ack({ openID: 77, sessionID: 3, protocolMinor }))
    for (const sessionID of [1, 2, 3]) await peer.expect('close', { sessionID })
    // What still comes on them is late, not unknown.
    peer.send(msg.payload({ sessionID: 2, payload: text('late') }), msg.close({ sessionID: 1 }), msg.ping(1))
    await peer.expect('pong')
  }
})

t.test('a refusal nobody waits for is nothing', async t => {
  const { client, peer } = scriptedServer(t)
  client.biDir('p', 'S', 'BiDir').cancel()
  await peer.expectSilence()
  const stream = client.biDir('p', 'S', 'BiDir')
  const open = await peer.expect('open')
  stream.cancel()
  peer.send(msg.ack({ openID: open.openID, errCode: 12 }), msg.ack({ openID: 99, errCode: 12 }))
  await peer.expectSilence()
})

t.test('an Open that is not answered in time', async t => {
  const { client, peer, clock } = scriptedServer(t, { openTimeoutMs: 5000, keepAliveIntervalMs: 0 })
  const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
  const open = await peer.expect('open')
  clock.advance(4000)
  await settle()
  t.notOk(call.isSettled)
  clock.advance(1000)
  await until(() => call.isSettled)
  t.match(call.error, { category: Category.Unavailable, code: ErrorCode.CONNECTION_LOST })
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await peer.expect('close', { sessionID: 1 })
})

t.test('OpenIDs are unique among the unanswered', async t => {
  const { client, peer } = scriptedServer(t)
  for (let i = 0; i < 20; i++) client.biDir('p', 'S', 'BiDir')
  await settle()
  t.equal(new Set(peer.all('open').map((open) => open.openID)).size, 20)
  t.ok(peer.all('open').every((open) => open.openID > 0))
})

t.test('packing', async t => {
  await t.test('nothing follows the first Open until it is answered', async t => {
    const { client, peer, clock } = scriptedServer(t, { packing: true, keepAliveIntervalMs: 1000, openTimeoutMs: 60_000 })
    peer.agreesToPack = true
    watch(client.sync('p', 'S', 'A').call(text('a')))
    const controller = new AbortController()
    watch(client.sync('p', 'S', 'B').call(text('b'), { signal: controller.signal }))
    watch(client.sync('p', 'S', 'C').call(text('c')))
    const open = await peer.expect('open', { packing: true })
    await peer.expectSilence()
    clock.advance(10_000)
    await peer.expectSilence()
    t.pass('no Ping either')
    controller.abort()
    const ack = msg.ack({ openID: open.openID, sessionID: 1, packing: true })
    peer.send(ack)
    peer.startPacking()
    const next = await peer.expect('open', { packing: false })
    t.equal(next.descr.call, 'C', 'the one that was given up is not sent')
    await peer.expectSilence()
    t.ok((peer.bytes.at(-1)?.byteLength ?? 0) < 150, 'and it is packed')
  })

  await t.test('a server that does not grant it gets everything plain', async t => {
    const { client, peer } = scriptedServer(t, { packing: true })
    watch(client.sync('p', 'S', 'A').call(text('a')))
    watch(client.sync('p', 'S', 'B').call(text('b')))
    const open = await peer.expect('open', { packing: true })
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    await peer.expect('open', { packing: false })
  })

  await t.test('a refused Open agrees to nothing, the next asks again', async t => {
    const { client, peer } = scriptedServer(t, { packing: true })
    watch(client.sync('p', 'S', 'A').call(text('a')))
    watch(client.sync('p', 'S', 'B').call(text('b')))
    watch(client.sync('p', 'S', 'C').call(text('c')))
    const one = await peer.expect('open', { packing: true })
    peer.send(msg.ack({ openID: one.openID, errCode: 12 }))
    const two = await peer.expect('open', { packing: true })
    await peer.expectSilence()
    peer.send(msg.ack({ openID: two.openID, sessionID: 1 }))
    await peer.expect('open', { packing: false })
  })

  await t.test('an agreement that comes for a call that was given up counts', async t => {
    const { client, peer } = scriptedServer(t, { packing: true })
    const stream = client.biDir('p', 'S', 'BiDir')
    const open = await peer.expect('open', { packing: true })
    stream.cancel()
    peer.send(msg.ack({ openID: open.openID, sessionID: 1, packing: true }))
    peer.startPacking()
    await peer.expect('close', { sessionID: 1 })
    watch(client.sync('p', 'S', 'A').call(text('a')))
    await peer.expect('open')
    t.ok((peer.bytes.at(-1)?.byteLength ?? 0) < 150, 'packed')
  })

  await t.test('what is held back waits no longer than openTimeoutMs', async t => {
    const { client, peer, clock } = scriptedServer(t, { packing: true, openTimeoutMs: 5000, keepAliveIntervalMs: 0 })
    const calls = [watch(client.sync('p', 'S', 'A').call(text('a'))), watch(client.sync('p', 'S', 'B').call(text('b')))]
    await peer.expect('open')
    clock.advance(5000)
    await until(() => calls.every((call) => call.isSettled))
    t.same(calls.map((call) => call.error?.category), [Category.Unavailable, Category.Unavailable])
    t.equal(client.running, 0)
  })

  await t.test('what is held back ends with the connection, or a GoAway', async t => {
    for (const end of ['destroy', 'goAway'] as const) {
      const { client, peer } = scriptedServer(t, { packing: true })
      watch(client.sync('p', 'S', 'A').call(text('a')))
      const held = watch(client.sync('p', 'S', 'B').call(text('b')))
      await peer.expect('open')
      if (end === 'destroy') peer.transport.destroy()
      else peer.send(msg.goAway())
      await until(() => held.isSettled)
      t.equal(held.error?.category, Category.Unavailable)
    }
  })
})

t.test('GoAway', async t => {
  await t.test('nothing more is opened, what runs finishes, then the client closes', async t => {
    const { client, peer } = scriptedServer(t)
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    const open = await peer.expect('open')
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }), msg.goAway({ debugData: 'maintenance' }))
    await settle()
    t.notOk(client.isOpen)
    const late = [watch(client.sync('p', 'S', 'Sync').call(text('y'))), watch(client.sync('p', 'S', 'Other').call(text('y')))]
    const stream = client.biDir('p', 'S', 'BiDir')
    await settle()
    t.ok(late.every((outcome) => outcome.error?.code === ErrorCode.CLOSED && outcome.error.category === Category.Unavailable))
    t.match(late[0]?.error?.message, /maintenance/)
    t.equal((await stream.ended)?.code, ErrorCode.CLOSED)
    await peer.expectSilence()
    peer.send(msg.payload({ reqID: 1, payload: text('answer') }))
    await until(() => call.isSettled)
    t.equal(str(call.value ?? new Uint8Array(0)), 'answer')
    await peer.expectEnd()
    t.equal(await client.closed, undefined, 'a good end')
  })

  await t.test('an idle client closes at once', async t => {
    const { client, peer } = scriptedServer(t)
    peer.send(msg.goAway())
    await peer.expectEnd()
    t.equal(await client.closed, undefined)
  })

  await t.test('an Open that crosses it is refused by the server', async t => {
    const { client, peer } = scriptedServer(t)
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    const open = await peer.expect('open')
    peer.send(msg.goAway(), msg.ack({ openID: open.openID, errCode: 14, error: 'draining' }))
    await until(() => call.isSettled)
    t.equal(call.error?.category, Category.Unavailable)
    await peer.expectEnd()
  })

  await t.test('calls that wait for the first answer are not opened after it', async t => {
    const { client, peer } = scriptedServer(t)
    const calls = [watch(client.sync('p', 'S', 'Sync').call(text('x'), { metadata: { own: 'x' } })), watch(client.sync('p', 'S', 'Sync').call(text('y')))]
    const open = await peer.expect('open')
    peer.send(msg.goAway(), msg.ack({ openID: open.openID, sessionID: 1 }), msg.payload({ reqID: 1, payload: text('answer') }))
    await until(() => calls.every((call) => call.isSettled))
    t.equal(calls[0]?.error, undefined)
    t.equal(calls[1]?.error?.code, ErrorCode.CLOSED)
    t.equal(peer.all('open').length, 1)
  })

  await t.test('with an error ends everything with its words', async t => {
    const { client, peer } = scriptedServer(t)
    const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
    await peer.expect('open')
    peer.send(msg.goAway({ errCode: 13, debugData: 'frame begins with type code 9' }))
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.Unavailable, message: /type code 9/ })
    t.match(await client.closed, { category: Category.Unavailable, message: /type code 9/ })
  })
})
