// Response headers: what a handler's option `headers` answers goes to the caller with the OpenAck.
import t from 'tap'
import { Category, RpcError } from '../../lib/errors.js'
import { Metadata } from '../../lib/metadata.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import type { HandlerOptions } from '../../lib/server/handlers.js'
import { RpcType } from '../../lib/wire/message.js'
import type { OpenContext } from '../../types/handler-context.js'
import { bytes, failureOf, makeEngine, text, texts } from '../helpers/engine.js'
import { msg, names, scriptedClient } from '../helpers/scripted-peer.js'

for (const minorVersion of [1, 0] as const) {
  t.test(`minor ${minorVersion}: callers of streams have them as headers`, async (t) => {
    const { client, server } = makeEngine(t, { server: { minorVersion } })
    const options: HandlerOptions = { headers: (context) => ({ call: context.call, tenant: context.metadata.get('tenant') ?? '' }) }
    server.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const message of stream.recv()) await stream.send(message) }, options))
    server.register('p', 'S', 'Up', new SendHandler(async (_context, stream) => bytes(String((await texts(stream.recv())).length)), options))
    server.register('p', 'S', 'Down', new RecvHandler(async (_context, stream) => { await stream.send(bytes('one')) }, options))
    server.register('p', 'S', 'Plain', new RecvHandler(async () => {}))
    const metadata = { tenant: 'acme' }

    const chat = client.biDir('p', 'S', 'Chat', { metadata })
    t.equal(chat.headers.size, 0, 'not before the answer')
    await chat.send(bytes('x'))
    await chat.recv().next()
    t.strictSame(chat.headers.toObject(), { call: 'Chat', tenant: 'acme' }, 'they are there while the stream runs')
    chat.closeSend()
    t.equal(await chat.ended, undefined)

    const up = client.send('p', 'S', 'Up', { metadata })
    await up.close()
    t.strictSame(up.headers.toObject(), { call: 'Up', tenant: 'acme' })
    const down = client.recv('p', 'S', 'Down', { metadata })
    await texts(down)
    t.strictSame(down.headers.toObject(), { call: 'Down', tenant: 'acme' })
    const plain = client.recv('p', 'S', 'Plain')
    await texts(plain)
    t.equal(plain.headers.size, 0)
  })
}

t.test('the function is given what is known of the call, once for each session', async (t) => {
  const seen: OpenContext[] = []
  const { client, server, log } = makeEngine(t)
  server.register('p', 'S', 'Echo', new SyncHandler(async (_context, request) => request, {
    headers: (context) => {
      seen.push(context)
      context.log.info('headers')
      return {}
    }
  }))
  const echo = client.sync('p', 'S', 'Echo')
  for (const request of ['a', 'b', 'c']) t.equal(text(await echo.call(bytes(request))), request)
  t.match(seen, [{ package: 'p', service: 'S', call: 'Echo', type: RpcType.Synchronous, session: 1, remoteAddress: '192.0.2.1' }])
  t.equal(seen.length, 1)
  t.match(log.find(({ msg }) => msg === 'headers'), { call: 'Echo', session: 1 })
})

t.test('a synchronous session has them in its OpenAck', async (t) => {
  const { peer } = scriptedClient(t, {}, (server) => {
    server.register('p', 'S', 'Sync', new SyncHandler(async (_context, request) => request, { headers: () => ({ region: 'eu' }) }))
  })
  peer.send(msg.open({ descr: names.sync }))
  const { metadata } = await peer.expect('openAck', { sessionID: 1, errCode: 0 })
  t.strictSame(Metadata.fromEntries(metadata).toObject(), { region: 'eu' })
})

t.test('when the function throws the Open is refused, and the handler does not run', async (t) => {
  let ran = 0
  const thrown: Error[] = [new RangeError('secret path'), new RpcError(Category.NotFound, 'no such table')]
  const { client, server, log } = makeEngine(t)
  server.register('p', 'S', 'Down', new RecvHandler(async () => { ran++ }, {
    headers: () => {
      const error = thrown.shift()
      if (error !== undefined) throw error
      return { ok: 'yes' }
    }
  }))
  t.match(await failureOf(texts(client.recv('p', 'S', 'Down'))), { category: Category.Internal, message: 'internal error' })
  t.match(log, [{ level: 'error', msg: 'RPC response headers failed', err: { message: 'secret path' }, call: 'Down' }])
  t.match(await failureOf(texts(client.recv('p', 'S', 'Down'))), { category: Category.NotFound, message: 'no such table' })
  t.equal(log.length, 1, 'an RpcError is no fault')
  t.equal(ran, 0)
  const stream = client.recv('p', 'S', 'Down')
  t.strictSame(await texts(stream), [])
  t.equal(stream.headers.get('ok'), 'yes')
  t.equal(ran, 1)
})

t.test('headers of more than 16 KiB refuse it too', async (t) => {
  const { client, server, log } = makeEngine(t)
  server.register('p', 'S', 'Down', new RecvHandler(async () => {}, { headers: (context) => ({ big: 'x'.repeat(Number(context.metadata.get('size'))) }) }))
  const fits = client.recv('p', 'S', 'Down', { metadata: { size: '16000' } })
  await texts(fits)
  t.equal(fits.headers.get('big')?.length, 16_000)
  t.match(await failureOf(texts(client.recv('p', 'S', 'Down', { metadata: { size: '17000' } }))), { category: Category.Internal })
  t.match(log.find(({ level }) => level === 'error'), { err: { message: 'response headers exceed 16384 bytes' } })
})
