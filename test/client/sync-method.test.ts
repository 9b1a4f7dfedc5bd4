// Synchronous calls of a client against a scripted server: one session for all (1.1), a pool of them (1.0).
import t from 'tap'
import type { Test } from 'tap'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { NO_BYTES } from '../../lib/wire/message.js'
import type { Open } from '../../lib/wire/message.js'
import type { SyncMethod } from '../../lib/client/sync-method.js'
import type { ClientOptions, UnaryClientInterceptor } from '../../types/client-options.js'
import { msg, scriptedServer, settle, str, text, until, watch } from '../helpers/scripted-peer.js'
import type { ScriptedServer } from '../helpers/scripted-peer.js'

interface Ready extends ScriptedServer { method: SyncMethod, open: Open }

/** A client whose first call was answered, on session 1. */
async function ready (t: Test, { minor = 1, ack = {}, ...options }: ClientOptions & { minor?: 0 | 1, ack?: Parameters<typeof msg.ack>[0] } = {}): Promise<Ready> {
  const set = scriptedServer(t, { keepAliveIntervalMs: 0, ...options })
  const method = set.client.sync('p', 'S', 'Sync')
  const call = watch(method.call(text('first')))
  const open = await set.peer.expect('open')
  set.peer.send(msg.ack({ openID: open.openID, sessionID: 1, protocolMinor: minor, ...ack }))
  if (minor === 0) await set.peer.expect('payload', { sessionID: 1, reqID: 1, payload: text('first') })
  set.peer.send(msg.payload({ reqID: 1, payload: text('answer') }))
  await until(() => call.isSettled)
  t.equal(str(call.value ?? NO_BYTES), 'answer')
  return { ...set, method, open }
}

t.test('the first call asks, the others wait for what the server is', async t => {
  const { client, peer } = scriptedServer(t)
  const method = client.sync('p', 'S', 'Sync')
  t.equal(client.sync('p', 'S', 'Sync'), method, 'one for each RPC')
  t.not(client.sync('p', 'SS', 'ync'), method)
  const calls = ['a', 'b', 'c'].map((name) => watch(method.call(text(name))))
  const open = await peer.expect('open')
  t.match(open.first, { reqID: 1, payload: text('a') })
  await peer.expectSilence()
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
  await peer.expect('payload', { sessionID: 1, reqID: 2, payload: text('b') })
  await peer.expect('payload', { sessionID: 1, reqID: 3, payload: text('c') })
  peer.send(msg.payload({ reqID: 3, payload: text('C') }), msg.payload({ reqID: 1, payload: text('A') }), msg.payload({ reqID: 2, payload: text('B') }))
  await until(() => calls.every((call) => call.isSettled))
  t.same(calls.map((call) => str(call.value ?? NO_BYTES)), ['A', 'B', 'C'])
  t.equal(client.running, 0)
})

t.test('1.1', async t => {
  await t.test('a request too large for the Open follows it, from number 1 on', async t => {
    const { client, peer } = scriptedServer(t)
    watch(client.sync('p', 'S', 'Sync').call(new Uint8Array(70_000)))
    const open = await peer.expect('open')
    t.equal(open.first, undefined)
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    await peer.expect('payload', { reqID: 1, more: true })
    await peer.expect('payload', { reqID: 1, more: false })
  })

  await t.test('metadata and deadline stand on the request, once the server is known', async t => {
    const { peer, method, clock, client } = await ready(t)
    const call = watch(method.exchange(text('x'), { metadata: { k: 'v' }, timeoutMs: 1000 }))
    const payload = await peer.expect('payload', { sessionID: 1, reqID: 2, deadlineMS: 1000n })
    t.match(payload.metadata, [{ key: 'k' }])
    peer.send(msg.payload({ reqID: 2, payload: text('y'), metadata: [{ key: 'A', value: text('b') }] }))
    await until(() => call.isSettled)
    t.equal(call.value?.metadata.get('a'), 'b')
    t.equal(clock.pendingTimers, 1)

    watch(client.sync('p', 'S', 'Other').call(text('x'), { metadata: { k: 'v' }, timeoutMs: 500 }))
    const open = await peer.expect('open', { deadlineMS: 0n })
    t.match(open.first, { deadlineMS: 500n, metadata: [{ key: 'k' }] })
    t.equal(open.metadata.length, 0)
  })

  await t.test('metadata beyond what a request may carry travel in an Open of their own, now as before; nobody waits for it', async t => {
    const { peer, method, client } = await ready(t)
    const large = { metadata: { k: 'v'.repeat(20_000) } }
    const one = watch(method.exchange(text('large'), large))
    const other = watch(method.call(text('small')))
    const open = await peer.expect('open')
    t.match(open.first, { reqID: 1, payload: text('large') })
    t.equal(open.metadata[0]?.value.byteLength, 20_000)
    await peer.expect('payload', { sessionID: 1, reqID: 2, payload: text('small') })
    peer.send(msg.ack({ openID: open.openID, sessionID: 2, metadata: [{ key: 'h', value: text('2') }] }), msg.payload({ sessionID: 2, reqID: 1, payload: text('LARGE') }))
    await peer.expect('close', { sessionID: 2 })
    peer.send(msg.payload({ sessionID: 1, reqID: 2, payload: text('SMALL') }))
    await until(() => one.isSettled && other.isSettled)
    t.equal(one.value?.headers.get('h'), '2')
    t.equal(str(other.value ?? NO_BYTES), 'SMALL')

    const refused = watch(method.call(text('large'), large))
    const still = watch(method.call(text('small')))
    const { openID } = await peer.expect('open')
    peer.send(msg.ack({ openID, errCode: Category.ResourceExhausted, error: 'no' }))
    await until(() => refused.isSettled)
    t.equal(refused.error?.category, Category.ResourceExhausted)
    t.notOk(still.isSettled, 'its refusal is its own')
    await peer.expect('payload', { sessionID: 1, reqID: 3 })

    const controller = new AbortController()
    const canceled = watch(method.call(text('large'), { ...large, signal: controller.signal }))
    await peer.expect('open')
    controller.abort()
    await until(() => canceled.isSettled)
    t.equal(canceled.error?.category, Category.Canceled)
    t.equal(client.running, 1)
  })

  await t.test('a session of its own ends with an answer that cannot be taken', async t => {
    const { peer, method, client } = await ready(t, { maxRecvMsgSize: 100 })
    const call = watch(method.call(text('large'), { metadata: { k: 'v'.repeat(20_000) } }))
    const { openID } = await peer.expect('open')
    peer.send(msg.ack({ openID, sessionID: 2 }), msg.payload({ sessionID: 2, reqID: 1, payload: new Uint8Array(101) }))
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.ResourceExhausted, code: ErrorCode.MESSAGE_TOO_LARGE })
    await peer.expect('cancel', { sessionID: 2, reqID: 0 })
    t.equal(client.running, 0)
  })

  await t.test('the response headers of the session come with each answer', async t => {
    const { peer, method } = await ready(t, { ack: { metadata: [{ key: 'region', value: text('north') }] } })
    for (const reqID of [2, 3]) {
      const call = watch(method.exchange(text('x')))
      await peer.expect('payload', { reqID })
      peer.send(msg.payload({ reqID, payload: text('X') }))
      await until(() => call.isSettled)
      t.equal(call.value?.headers.get('region'), 'north')
      call.value?.headers.set('region', 'changed by one caller')
    }
  })

  await t.test('and in the Open before, of a session that serves this call alone', async t => {
    const { client, peer } = scriptedServer(t, { keepAliveIntervalMs: 0 })
    const method = client.sync('p', 'S', 'Sync')
    const calls = [watch(method.call(text('a'), { metadata: { k: 'v' }, timeoutMs: 800 })), watch(method.call(text('b')))]
    const open = await peer.expect('open', { deadlineMS: 800n })
    t.match(open.metadata, [{ key: 'k' }])
    t.match(open.first, { reqID: 1, deadlineMS: 0n })
    t.equal(open.first?.metadata.length, 0)
    await peer.expectSilence()
    peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
    const shared = await peer.expect('open', { deadlineMS: 0n })
    t.match(shared.first, { payload: text('b') })
    peer.send(msg.payload({ reqID: 1, payload: text('A') }))
    await peer.expect('close', { sessionID: 1 })
    peer.send(msg.ack({ openID: shared.openID, sessionID: 2 }), msg.payload({ sessionID: 2, reqID: 1, payload: text('B') }))
    await until(() => calls.every((call) => call.isSettled))
    t.same(calls.map((call) => str(call.value ?? NO_BYTES)), ['A', 'B'])
  })

  await t.test('an error fails its call alone', async t => {
    const { peer, method } = await ready(t)
    const calls = [watch(method.call(text('a'))), watch(method.call(text('b')))]
    await peer.expect('payload', { reqID: 2 })
    await peer.expect('payload', { reqID: 3 })
    peer.send(msg.payload({ reqID: 2, errCode: Category.NotFound, error: 'no such row', metadata: [{ key: 'k', value: text('v') }], payload: text('ignored') }))
    await until(() => calls[0]?.isSettled === true)
    t.match(calls[0]?.error, { category: Category.NotFound, message: 'no such row' })
    t.equal((calls[0]?.error as RpcError).metadata.get('k'), 'v')
    peer.send(msg.payload({ reqID: 3, payload: NO_BYTES }))
    await until(() => calls[1]?.isSettled === true)
    t.equal(calls[1]?.value?.byteLength, 0)
  })

  await t.test('an error ends an answer already begun', async t => {
    const { peer, method } = await ready(t)
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    peer.send(msg.payload({ reqID: 2, payload: new Uint8Array(5000), more: true }), msg.payload({ reqID: 2, errCode: 4, error: 'deadline exceeded' }))
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.DeadlineExceeded })
    const next = watch(method.call(text('b')))
    await peer.expect('payload', { reqID: 3 })
    peer.send(msg.payload({ reqID: 3, payload: new Uint8Array(5000), more: true }), msg.payload({ reqID: 3, payload: text('!') }))
    await until(() => next.isSettled)
    t.equal(next.value?.byteLength, 5001)
  })

  await t.test('answers nobody waits for are thrown away and credited', async t => {
    const { peer, method } = await ready(t, { windowBytes: 128 * 1024, maxWindowBytes: 0 })
    peer.send(...[77, 1, 1].map((reqID) => msg.payload({ reqID, payload: new Uint8Array(30_000) })))
    await peer.expect('windowUpdate')
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    peer.send(msg.payload({ reqID: 2, payload: text('b') }))
    await until(() => call.isSettled)
    t.equal(call.error, undefined)
  })

  await t.test('an answer that is too large fails its call and is canceled', async t => {
    const { peer, method } = await ready(t, { maxRecvMsgSize: 10_000 })
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    peer.send(msg.payload({ reqID: 2, payload: new Uint8Array(6000), more: true }), msg.payload({ reqID: 2, payload: new Uint8Array(6000), more: true }))
    await peer.expect('cancel', { reqID: 2 })
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.ResourceExhausted, code: ErrorCode.MESSAGE_TOO_LARGE })
    peer.send(msg.payload({ reqID: 2, payload: new Uint8Array(6000) }))
    await peer.expectSilence()
  })

  await t.test('an answer nobody can decompress fails its call', async t => {
    const { peer, method, client } = await ready(t)
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    peer.send(msg.payload({ reqID: 2, payload: text('x'), compression: 9 }))
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.Unimplemented })
    t.equal(client.running, 0)
  })

  await t.test('giving up', async t => {
    await t.test('by signal: Cancel, the session lives on, the real answer is thrown away', async t => {
      const { peer, method } = await ready(t)
      const controller = new AbortController()
      const call = watch(method.call(text('a'), { signal: controller.signal }))
      await peer.expect('payload', { reqID: 2 })
      controller.abort()
      await peer.expect('cancel', { sessionID: 1, reqID: 2 })
      t.match(call.error, { category: Category.Canceled })
      peer.send(msg.payload({ reqID: 2, errCode: 1 }))
      watch(method.call(text('b')))
      await peer.expect('payload', { sessionID: 1, reqID: 3 })
    })

    await t.test('by signal, with its own reason', async t => {
      const { peer, method } = await ready(t)
      const controller = new AbortController()
      const call = watch(method.call(text('a'), { signal: controller.signal }))
      await peer.expect('payload', { reqID: 2 })
      const reason = new RpcError(Category.Aborted, 'mine')
      controller.abort(reason)
      await until(() => call.isSettled)
      t.equal(call.error, reason)
    })

    await t.test('at the deadline', async t => {
      const { peer, method, clock } = await ready(t)
      const call = watch(method.call(text('a'), { timeoutMs: 100 }))
      await peer.expect('payload', { reqID: 2, deadlineMS: 100n })
      clock.advance(100)
      await peer.expect('cancel', { reqID: 2 })
      t.match(call.error, { category: Category.DeadlineExceeded })
    })

    await t.test('before it began', async t => {
      const { peer, method, client } = await ready(t)
      const calls = [watch(method.call(text('a'), { signal: AbortSignal.abort() })), watch(method.call(text('a'), { timeoutMs: 0.5 })), watch(method.call(text('a'), { timeoutMs: -5 }))]
      await settle()
      t.same(calls.map((call) => call.error?.category), [Category.Canceled, Category.DeadlineExceeded, Category.DeadlineExceeded])
      await peer.expectSilence()
      t.equal(client.running, 0)
    })

    await t.test('while it waits for credit, nothing of it sent: no Cancel', async t => {
      const { peer, method, clock } = await ready(t, { ack: { window: 128 * 1024 } })
      for (let i = 0; i < 3; i++) watch(method.call(new Uint8Array(40_000)))
      const controller = new AbortController()
      watch(method.call(new Uint8Array(40_000), { signal: controller.signal }))
      for (let i = 0; i < 3; i++) await peer.expect('payload')
      controller.abort()
      await peer.expectSilence()
      clock.advance(100_000)
      await peer.expectSilence()
      t.pass('and nobody is taken for stuck')
    })

    await t.test('while its chunks are being sent: what waits is dropped, then Cancel', async t => {
      const { peer, method } = await ready(t, { ack: { window: 128 * 1024 } })
      const controller = new AbortController()
      watch(method.call(new Uint8Array(500_000), { signal: controller.signal }))
      watch(method.call(text('next')))
      await peer.expect('payload', { reqID: 2, more: true })
      await peer.expect('payload', { reqID: 2, more: true })
      await peer.expectSilence()
      controller.abort()
      await peer.expect('cancel', { reqID: 2 })
      peer.send(msg.update(1, 100_000))
      await peer.expect('payload', { reqID: 3, payload: text('next') })
    })

    await t.test('an answer that comes while the request is being sent stops it', async t => {
      const { peer, method } = await ready(t, { ack: { window: 128 * 1024 } })
      const call = watch(method.call(new Uint8Array(500_000)))
      await peer.expect('payload', { reqID: 2, more: true })
      await peer.expect('payload', { reqID: 2, more: true })
      peer.send(msg.payload({ reqID: 2, errCode: 8, error: 'too large' }))
      await peer.expect('cancel', { reqID: 2 })
      await until(() => call.isSettled)
      t.match(call.error, { category: Category.ResourceExhausted, message: 'too large' })
    })

    await t.test('the first call: those who waited for it go on', async t => {
      const { client, peer } = scriptedServer(t)
      const method = client.sync('p', 'S', 'Sync')
      const controller = new AbortController()
      watch(method.call(text('a'), { signal: controller.signal }))
      const second = watch(method.call(text('b')))
      const one = await peer.expect('open')
      controller.abort()
      const two = await peer.expect('open')
      t.match(two.first, { payload: text('b') })
      peer.send(msg.ack({ openID: one.openID, sessionID: 1 }), msg.ack({ openID: two.openID, sessionID: 2 }))
      await peer.expect('close', { sessionID: 1 })
      peer.send(msg.payload({ sessionID: 2, reqID: 1, payload: text('B') }))
      await until(() => second.isSettled)
      t.equal(str(second.value ?? NO_BYTES), 'B')
    })

    await t.test('one that waits is never sent', async t => {
      const { client, peer } = scriptedServer(t)
      const method = client.sync('p', 'S', 'Sync')
      watch(method.call(text('a')))
      const controller = new AbortController()
      const waiting = watch(method.call(text('b'), { signal: controller.signal }))
      const open = await peer.expect('open')
      controller.abort()
      await until(() => waiting.isSettled)
      peer.send(msg.ack({ openID: open.openID, sessionID: 1 }))
      await peer.expectSilence()
    })
  })

  await t.test('a refused Open fails those who waited too', async t => {
    const { client, peer } = scriptedServer(t)
    const method = client.sync('p', 'S', 'Missing')
    const calls = [watch(method.call(text('a'))), watch(method.call(text('b')))]
    const open = await peer.expect('open')
    peer.send(msg.ack({ openID: open.openID, errCode: 12, error: 'no handler registered' }))
    await until(() => calls.every((call) => call.isSettled))
    t.same(calls.map((call) => call.error?.category), [12, 12])
    t.equal(client.running, 0)
    watch(method.call(text('c')))
    await peer.expect('open')
  })

  await t.test('but not for what was in the Open of another', async t => {
    const { client, peer } = scriptedServer(t)
    const method = client.sync('p', 'S', 'Sync')
    const calls = [watch(method.call(text('a'), { metadata: { large: 'x'.repeat(20_000) } })), watch(method.call(text('b')))]
    const one = await peer.expect('open')
    peer.send(msg.ack({ openID: one.openID, errCode: 8, error: 'metadata exceed 10000 bytes' }))
    const two = await peer.expect('open')
    t.equal(calls[0]?.error?.category, Category.ResourceExhausted)
    t.notOk(calls[1]?.isSettled)
    peer.send(msg.ack({ openID: two.openID, sessionID: 1 }), msg.payload({ reqID: 1, payload: text('B') }))
    await until(() => calls[1]?.isSettled === true)
    t.equal(calls[1]?.error, undefined)
  })

  await t.test('a Close of the server fails what is unanswered; the next call opens anew', async t => {
    const { peer, method } = await ready(t)
    const calls = [watch(method.call(text('a'))), watch(method.call(text('b')))]
    await peer.expect('payload')
    await peer.expect('payload')
    peer.send(msg.close({ errCode: 14, error: 'server is draining' }))
    await until(() => calls.every((call) => call.isSettled))
    t.ok(calls.every((call) => call.error?.category === Category.Unavailable))
    watch(method.call(text('c')))
    await peer.expect('open')
  })

  await t.test('a Close 0 of the server answers nothing either', async t => {
    const { peer, method } = await ready(t)
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    peer.send(msg.close())
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.Unavailable })
  })

  await t.test('messages beyond a limit fail locally', async t => {
    const { peer, method } = await ready(t, { maxSendMsgSize: 1000, ack: { maxPayloadSize: 100 } })
    const calls = [watch(method.call(new Uint8Array(1001))), watch(method.call(new Uint8Array(101))), watch(method.call(text('x'), { metadata: { k: 'x'.repeat(70_000) } }))]
    await until(() => calls.every((call) => call.isSettled))
    t.same(calls.map((call) => call.error?.code), [ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.METADATA_TOO_LARGE])
    await peer.expectSilence()
  })

  await t.test('nonsense is told and leaves nothing behind', async t => {
    const { method, client, peer } = await ready(t)
    const calls = [
      watch(method.call('text' as unknown as Uint8Array)),
      watch(method.call(text('x'), { timeoutMs: NaN })),
      watch(method.call(text('x'), { metadata: { k: 5 as unknown as string } }))
    ]
    await until(() => calls.every((call) => call.isSettled))
    t.ok(calls.every((call) => call.error instanceof TypeError))
    t.equal(client.running, 0)
    await peer.expectSilence()
    watch(method.call(text('x'), { timeoutMs: Infinity }))
    await peer.expect('payload', { deadlineMS: 0n })
  })

  await t.test('a call in line for longer than its time is not sent', async t => {
    const { peer, method, clock } = await ready(t, { ack: { window: 128 * 1024 } })
    for (let i = 0; i < 3; i++) watch(method.call(new Uint8Array(40_000)))
    const late = watch(method.call(new Uint8Array(40_000), { timeoutMs: 50 }))
    for (let i = 0; i < 3; i++) await peer.expect('payload')
    clock.advance(50)
    await until(() => late.isSettled)
    t.match(late.error, { category: Category.DeadlineExceeded })
    peer.send(msg.update(1, 100_000))
    await peer.expectSilence()
  })
})

t.test('1.0', async t => {
  await t.test('a session for each call at a time, used again', async t => {
    const { peer, method } = await ready(t, { minor: 0 })
    const calls = [watch(method.call(text('a'))), watch(method.call(text('b')))]
    await peer.expect('payload', { sessionID: 1, reqID: 2, payload: text('a') })
    const open = await peer.expect('open')
    t.equal(open.first, undefined)
    peer.send(msg.ack({ openID: open.openID, sessionID: 2, protocolMinor: 0 }))
    await peer.expect('payload', { sessionID: 2, reqID: 1, payload: text('b') })
    peer.send(msg.payload({ sessionID: 2, reqID: 1, payload: text('B') }), msg.payload({ sessionID: 1, reqID: 2, payload: text('A') }))
    await until(() => calls.every((call) => call.isSettled))
    t.same(calls.map((call) => str(call.value ?? NO_BYTES)), ['A', 'B'])
    watch(method.call(text('c')))
    await peer.expect('payload', { sessionID: 1, reqID: 3 })
  })

  await t.test('metadata and deadline cost a session of their own', async t => {
    const { peer, method } = await ready(t, { minor: 0 })
    const call = watch(method.call(text('a'), { metadata: { k: 'v' }, timeoutMs: 500 }))
    const open = await peer.expect('open', { deadlineMS: 500n })
    t.match(open.metadata, [{ key: 'k' }])
    peer.send(msg.ack({ openID: open.openID, sessionID: 2, protocolMinor: 0 }))
    await peer.expect('payload', { sessionID: 2, deadlineMS: 0n })
    peer.send(msg.payload({ sessionID: 2, reqID: 1, payload: text('A') }))
    await peer.expect('close', { sessionID: 2 })
    await until(() => call.isSettled)
    t.equal(call.error, undefined)
  })

  await t.test('idle sessions are kept, but not more than a few', async t => {
    const { peer, method } = await ready(t, { minor: 0 })
    const calls = Array.from({ length: 30 }, (_, i) => watch(method.call(text(String(i)))))
    await peer.expect('payload', { sessionID: 1 })
    for (let sessionID = 2; sessionID <= 30; sessionID++) {
      const open = await peer.expect('open')
      peer.send(msg.ack({ openID: open.openID, sessionID, protocolMinor: 0 }))
    }
    await until(() => peer.all('payload').length === 31)
    peer.send(msg.payload({ sessionID: 1, reqID: 2 }))
    for (let sessionID = 2; sessionID <= 30; sessionID++) peer.send(msg.payload({ sessionID, reqID: 1 }))
    await until(() => calls.every((call) => call.isSettled))
    t.equal(peer.all('close').length, 14)
  })

  await t.test('an error of the handler comes as Close: code, text; the next call has another session', async t => {
    const { peer, method } = await ready(t, { minor: 0 })
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    peer.send(msg.close({ errCode: Category.NotFound, error: 'no such row' }))
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.NotFound, message: 'no such row' })
    watch(method.call(text('b')))
    await peer.expect('open')
  })

  await t.test('a Close of an idle session forgets it', async t => {
    const { peer, method } = await ready(t, { minor: 0 })
    peer.send(msg.close({ errCode: 14 }))
    await settle()
    watch(method.call(text('b')))
    await peer.expect('open')
  })

  await t.test('giving up costs the session', async t => {
    const { peer, method, clock } = await ready(t, { minor: 0 })
    const controller = new AbortController()
    const call = watch(method.call(text('a'), { signal: controller.signal }))
    await peer.expect('payload', { sessionID: 1 })
    controller.abort()
    await peer.expect('cancel', { sessionID: 1, reqID: 0 })
    t.match(call.error, { category: Category.Canceled })
    const timed = watch(method.call(text('b'), { timeoutMs: 100 }))
    const open = await peer.expect('open')
    peer.send(msg.ack({ openID: open.openID, sessionID: 2, protocolMinor: 0 }))
    await peer.expect('payload', { sessionID: 2 })
    clock.advance(100)
    await peer.expect('cancel', { sessionID: 2 })
    await until(() => timed.isSettled)
    t.match(timed.error, { category: Category.DeadlineExceeded })
  })

  await t.test('an answer that is too large costs it too', async t => {
    const { peer, method } = await ready(t, { minor: 0, maxRecvMsgSize: 10 })
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    peer.send(msg.payload({ reqID: 2, payload: new Uint8Array(11) }))
    await peer.expect('close', { sessionID: 1 })
    await until(() => call.isSettled)
    t.match(call.error, { category: Category.ResourceExhausted })
  })

  await t.test('a request that cannot be sent costs nothing', async t => {
    const { peer, method } = await ready(t, { minor: 0, ack: { maxPayloadSize: 100 } })
    const call = watch(method.call(new Uint8Array(101)))
    await until(() => call.isSettled)
    t.match(call.error, { code: ErrorCode.MESSAGE_TOO_LARGE })
    watch(method.call(text('b')))
    await peer.expect('payload', { sessionID: 1 })
  })

  await t.test('an answer to something else is ignored', async t => {
    const { peer, method } = await ready(t, { minor: 0 })
    const call = watch(method.call(text('a')))
    await peer.expect('payload', { reqID: 2 })
    peer.send(msg.payload({ reqID: 1, payload: text('old') }))
    await settle()
    t.notOk(call.isSettled)
  })

  await t.test('a session is not kept by a client that drains', async t => {
    const { peer, method, client } = await ready(t, { minor: 0 })
    const call = watch(method.call(text('a')))
    await peer.expect('payload')
    const drain = watch(client.drain())
    peer.send(msg.payload({ reqID: 2, payload: text('A') }))
    await peer.expect('close')
    await until(() => drain.isSettled && call.isSettled)
  })
})

t.test('interceptors: the first is the outermost', async t => {
  const log: string[] = []
  const named = (name: string): UnaryClientInterceptor => async (call, next) => {
    log.push(`${name} ${call.call}`)
    const answer = await next({ ...call, request: text(str(call.request) + name), options: { ...call.options, metadata: { by: name } } })
    log.push(`${name} ${str(answer.payload)}`)
    return answer
  }
  const { client, peer } = scriptedServer(t, { unaryInterceptors: [named('a'), named('b')], keepAliveIntervalMs: 0 })
  const call = watch(client.sync('p', 'S', 'Sync').call(text('x')))
  const open = await peer.expect('open')
  t.match(open.first, { payload: text('xab') })
  t.equal(str(open.metadata[0]?.value ?? NO_BYTES), 'b')
  peer.send(msg.ack({ openID: open.openID, sessionID: 1 }), msg.payload({ reqID: 1, payload: text('y') }))
  await until(() => call.isSettled)
  t.equal(str(call.value ?? NO_BYTES), 'y')
  t.same(log, ['a Sync', 'b Sync', 'b y', 'a y'])

  const retry = scriptedServer(t, { unaryInterceptors: [(call, next) => next(call).catch(() => next(call))], keepAliveIntervalMs: 0 })
  const retried = watch(retry.client.sync('p', 'S', 'Sync').exchange(text('x')))
  const first = await retry.peer.expect('open')
  retry.peer.send(msg.ack({ openID: first.openID, errCode: 14 }))
  const second = await retry.peer.expect('open')
  retry.peer.send(msg.ack({ openID: second.openID, sessionID: 1 }), msg.payload({ reqID: 1, payload: text('y') }))
  await until(() => retried.isSettled)
  t.equal(retried.error, undefined)
})
