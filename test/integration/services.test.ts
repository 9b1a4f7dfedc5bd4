// Health and reflection through the plugin, as a client without a codec of this package would ask; overload by the
// real @fastify/under-pressure.
import underPressure from '@fastify/under-pressure'
import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/index.js'
import type { Client } from '../../lib/client/index.js'
import { Category, ErrorCode } from '../../lib/errors.js'
import rpc, { ServingStatus, SyncHandler } from '../../lib/index.js'
import type { RpcPluginOptions } from '../../lib/index.js'
import {
  GET_METHOD_INFO_REQUEST, GET_METHOD_INFO_RESPONSE, GET_SERVICE_INFO_REQUEST, GET_SERVICE_INFO_RESPONSE, HEALTH_CHECK_REQUEST,
  HEALTH_CHECK_RESPONSE, LIST_SERVICES_RESPONSE
} from '../../lib/wire/service-schema.js'
import { decodeStruct } from '../../lib/wire/struct-reader.js'
import { encodeStruct } from '../../lib/wire/struct-writer.js'

const NOTHING = new Uint8Array(0)

async function start (t: Test, options: RpcPluginOptions, before: (app: ReturnType<typeof Fastify>) => Promise<void> = async () => {}): Promise<{ app: ReturnType<typeof Fastify>, client: Client }> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await before(app)
  await app.register(rpc, options)
  app.rpc.register('shop', 'Cart', 'Add', new SyncHandler((_context, request) => request))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const client = await connect(`ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/rpc`, { WebSocket })
  return { app, client }
}

t.test('health: off by default', async (t) => {
  const { app, client } = await start(t, {})
  t.equal(app.rpc.health, undefined)
  await t.rejects(client.sync('health', 'Health', 'Check').call(NOTHING), { category: Category.Unimplemented, message: 'no handler registered' })
  await t.rejects(client.sync('reflection', 'Reflection', 'ListServices').call(NOTHING), { category: Category.Unimplemented, message: 'no handler registered' })
})

t.test('health: the server, its services, what was said, and nonsense', async (t) => {
  const { app, client } = await start(t, { health: true })
  const health = client.sync('health', 'Health', 'Check')
  const status = async (service?: string): Promise<number> => {
    const request = service === undefined ? NOTHING : encodeStruct(HEALTH_CHECK_REQUEST, { service })
    return decodeStruct(HEALTH_CHECK_RESPONSE, await health.call(request)).status
  }
  t.equal(await status(), ServingStatus.Serving, 'an empty payload means the whole server')
  t.equal(await status(''), ServingStatus.Serving)
  t.equal(await status('shop.Cart'), ServingStatus.Serving)
  t.equal(await status('shop/Cart'), ServingStatus.Serving)
  t.equal(await status('shop.Till'), ServingStatus.ServiceUnknown)
  app.rpc.health?.setStatus('shop.Till', ServingStatus.NotServing)
  t.equal(await status('shop.Till'), ServingStatus.NotServing)
  await t.rejects(health.call(Uint8Array.of(1, 2, 3)), { category: Category.InvalidArgument, message: 'not a HealthCheckRequest' })
  await app.close()
  t.equal(app.rpc.health?.check(), ServingStatus.NotServing, 'a server that drains does not serve')
})

t.test('reflection: lists, finds, and does not find', async (t) => {
  const { client } = await start(t, { reflection: true })
  const list = decodeStruct(LIST_SERVICES_RESPONSE, await client.sync('reflection', 'Reflection', 'ListServices').call(NOTHING))
  t.strictSame(list.packages.map(({ name }) => name), ['reflection', 'shop'], 'sorted by name')
  t.strictSame(list.packages[1]?.services, [{ name: 'Cart', methods: [{ name: 'Add', type: 1 }] }])
  const service = client.sync('reflection', 'Reflection', 'GetServiceInfo')
  const found = decodeStruct(GET_SERVICE_INFO_RESPONSE, await service.call(encodeStruct(GET_SERVICE_INFO_REQUEST, { package: 'shop', service: 'Cart' })))
  t.strictSame(found, { service: { name: 'Cart', methods: [{ name: 'Add', type: 1 }] }, found: true })
  t.equal((await service.call(encodeStruct(GET_SERVICE_INFO_REQUEST, { package: 'shop', service: 'Till' }))).length, 8, 'not found is the empty message')
  const method = client.sync('reflection', 'Reflection', 'GetMethodInfo')
  const add = decodeStruct(GET_METHOD_INFO_RESPONSE, await method.call(encodeStruct(GET_METHOD_INFO_REQUEST, { package: 'shop', service: 'Cart', method: 'Add' })))
  t.strictSame(add, { method: { name: 'Add', type: 1 }, found: true })
  t.equal((await method.call(NOTHING)).length, 8)
  await t.rejects(method.call(Uint8Array.of(9)), { category: Category.InvalidArgument, message: 'not a GetMethodInfoRequest' })
})

t.test('reflection: a guard says who may look', async (t) => {
  const { client } = await start(t, { reflection: (context) => context.metadata.get('authorization') === 'Bearer root' })
  const list = client.sync('reflection', 'Reflection', 'ListServices')
  await t.rejects(list.call(NOTHING), { category: Category.PermissionDenied, message: 'reflection is not allowed' })
  t.ok((await list.call(NOTHING, { metadata: { authorization: 'Bearer root' } })).length > 8)
  await t.rejects(start(t, { reflection: 'yes' as never }), { code: ErrorCode.OPTION_INVALID, message: /reflection/ })
})

t.test('under pressure new sessions are refused, as @fastify/under-pressure says', async (t) => {
  const { client } = await start(t, {}, async (app) => {
    // Always: no heap is that small. Its own hook would refuse the upgrade too, so it only measures here.
    await app.register(underPressure, { maxHeapUsedBytes: 1, sampleInterval: 5, pressureHandler: () => {} })
  })
  const add = client.sync('shop', 'Cart', 'Add')
  // The plugin measures for the first time after its interval; until then calls pass.
  for (let outcome: unknown; ;) {
    outcome = await client.biDir('shop', 'Cart', 'Add').ended
    if ((outcome as { category: number }).category === Category.Unavailable) break
  }
  await t.rejects(add.call(NOTHING), { category: Category.Unavailable, message: 'server is under pressure' })
})
