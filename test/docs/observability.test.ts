// docs/observability.md names every channel, every figure of stats(), every field of the log line and every name of lib/otel;
// and what it says about the channels holds.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { Category, RpcError } from '../../lib/errors.js'
import { Attribute, DurationMetric, SYSTEM_NAME } from '../../lib/otel/conventions.js'
import { SyncHandler } from '../../lib/server/handlers.js'
import { CHANNELS } from '../../lib/server/observer.js'
import { Server } from '../../lib/server/server.js'
import { bytes, failureOf, makeEngine } from '../helpers/engine.js'

const page = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8')
const missing = (names: Iterable<string>): string[] => [...names].filter((name) => !page.includes('`' + name + '`'))

t.test('every channel and every figure has its line', (t) => {
  t.strictSame(missing(Object.values(CHANNELS)), [])
  t.strictSame(missing(Object.keys(new Server().stats())), [])
  t.end()
})

t.test('every name of the OpenTelemetry interceptors has its line', (t) => {
  t.strictSame(missing([...Object.values(Attribute), ...Object.values(DurationMetric), SYSTEM_NAME]), [])
  t.end()
})

t.test('the log line and the messages of the channels have the fields that stand there', async (t) => {
  const heard: [string, Record<string, unknown>][] = []
  const listeners = Object.values(CHANNELS).map((name) => ({ name, listener: (message: unknown) => { heard.push([name, message as Record<string, unknown>]) } }))
  for (const { name, listener } of listeners) subscribe(name, listener)
  t.teardown(() => { for (const { name, listener } of listeners) unsubscribe(name, listener) })

  const { client, connection, log, server } = makeEngine(t)
  server.register('shop', 'Cart', 'Add', new SyncHandler(async () => { throw new RpcError(Category.NotFound, 'no such row') }))
  await failureOf(client.sync('shop', 'Cart', 'Add').call(bytes('x')))
  await client.close()
  await connection.closed

  const fields = ['rpc', 'package', 'service', 'call', 'session', 'category', 'code', 'responseTime', 'received', 'sent']
  const line = log.find(({ msg }) => msg === 'rpc completed')
  t.strictSame(Object.keys(line ?? {}).sort(), [...fields, 'level', 'msg'].sort())
  t.match(line, { rpc: 'sync', package: 'shop', service: 'Cart', call: 'Add', session: 1, category: 'NotFound', code: 'CLAW_ERR_NOT_FOUND', received: { messages: 1, bytes: 1 }, sent: { messages: 0, bytes: 0 } })
  t.strictSame(missing(fields), [])
  t.strictSame(heard.map(([name, message]) => [name, Object.keys(message).sort()]), [
    [CHANNELS.connectionStart, ['connection']],
    [CHANNELS.rpcStart, ['context']],
    [CHANNELS.rpcEnd, ['context', 'error', ...fields].sort()],
    [CHANNELS.connectionEnd, ['connection', 'error']]
  ])
})
