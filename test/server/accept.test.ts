// Every refusal with its code; as a function, and once each through a connection.
import t from 'tap'
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import { examineOpen } from '../../lib/server/accept.js'
import type { AcceptState } from '../../lib/server/accept.js'
import { BiDirHandler, RecvHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Registry } from '../../lib/server/registry.js'
import { RpcType } from '../../lib/wire/message.js'
import type { Open } from '../../lib/wire/message.js'
import { Server } from '../../lib/server/server.js'
import { attach, msg, names, scriptedClient, text } from '../helpers/scripted-peer.js'

const registry = new Registry()
registry.register('p', 'S', 'Sync', new SyncHandler((_context, request) => request))
registry.register('p', 'S', 'BiDir', new BiDirHandler(async () => {}))
registry.register('p', 'S', 'Recv', new RecvHandler(async () => {}))

const STATE: AcceptState = { registry, closed: undefined, isMinor1: true, sessionCount: 0, maxSessions: 256, maxMetadataBytes: 1000 }

const sync = (fields: Parameters<typeof msg.open>[0] = {}): Open => msg.open({ descr: names.sync, ...fields })
const biDir = (fields: Parameters<typeof msg.open>[0] = {}): Open => msg.open({ descr: names.biDir, ...fields })

const REFUSALS: [string, Open, Partial<AcceptState>, Category, string][] = [
  ['closed', sync(), { closed: new RpcError(Category.Unavailable, 'server is draining', { code: ErrorCode.CLOSED }) }, Category.Unavailable, ErrorCode.CLOSED],
  ['long package', sync({ descr: { ...names.sync, package: 'x'.repeat(1025) } }), {}, Category.InvalidArgument, ErrorCode.NAME_TOO_LARGE],
  ['long service', sync({ descr: { ...names.sync, service: 'x'.repeat(1025) } }), {}, Category.InvalidArgument, ErrorCode.NAME_TOO_LARGE],
  ['long call', sync({ descr: { ...names.sync, call: 'x'.repeat(1025) } }), {}, Category.InvalidArgument, ErrorCode.NAME_TOO_LARGE],
  ['long TraceID', sync({ traceID: new Uint8Array(17) }), {}, Category.InvalidArgument, 'CLAW_ERR_INVALID_ARGUMENT'],
  ['long SpanID', sync({ spanID: new Uint8Array(9) }), {}, Category.InvalidArgument, 'CLAW_ERR_INVALID_ARGUMENT'],
  ['much metadata', sync({ metadata: [{ key: 'k', value: new Uint8Array(976) }] }), {}, Category.ResourceExhausted, ErrorCode.METADATA_TOO_LARGE],
  ['no handler', sync({ descr: { ...names.sync, call: 'Missing' } }), {}, Category.Unimplemented, ErrorCode.NO_HANDLER],
  ['no names', msg.open(), {}, Category.Unimplemented, ErrorCode.NO_HANDLER],
  ['another kind', sync({ descr: { ...names.sync, type: RpcType.Recv } }), {}, Category.InvalidArgument, ErrorCode.TYPE_MISMATCH],
  ['a kind nobody knows', sync({ descr: { ...names.sync, type: 99 } }), {}, Category.InvalidArgument, ErrorCode.TYPE_MISMATCH],
  ['First with a SessionID', biDir({ first: msg.first({ sessionID: 1 }) }), {}, Category.InvalidArgument, 'CLAW_ERR_INVALID_ARGUMENT'],
  ['First with More', biDir({ first: msg.first({ more: true, payload: new Uint8Array(5000) }) }), {}, Category.InvalidArgument, 'CLAW_ERR_INVALID_ARGUMENT'],
  ['First with ErrCode', biDir({ first: msg.first({ errCode: 1 }) }), {}, Category.InvalidArgument, 'CLAW_ERR_INVALID_ARGUMENT'],
  ['First of a synchronous session without ReqID', sync({ first: msg.first() }), {}, Category.InvalidArgument, 'CLAW_ERR_INVALID_ARGUMENT'],
  ['First too large', biDir({ first: msg.first({ payload: new Uint8Array(64 * 1024 + 1) }) }), {}, Category.ResourceExhausted, ErrorCode.MESSAGE_TOO_LARGE],
  ['First with much metadata', biDir({ first: msg.first({ metadata: [{ key: 'k', value: new Uint8Array(16 * 1024) }] }) }), {}, Category.ResourceExhausted, ErrorCode.METADATA_TOO_LARGE],
  ['too many sessions', sync(), { sessionCount: 256 }, Category.ResourceExhausted, ErrorCode.TOO_MANY_SESSIONS]
]

t.test('refusals', t => {
  for (const [what, open, state, category, code] of REFUSALS) {
    const found = examineOpen(open, { ...STATE, ...state })
    t.ok(found instanceof RpcError, what)
    t.match(found, { category, code }, what)
  }
  t.end()
})

t.test('what passes', t => {
  const pass = (open: Open, state: Partial<AcceptState> = {}): void => { t.notOk(examineOpen(open, { ...STATE, ...state }) instanceof RpcError) }
  pass(sync({ traceID: new Uint8Array(16), spanID: new Uint8Array(8), metadata: [{ key: 'k', value: new Uint8Array(975) }] }))
  pass(sync({ first: msg.first({ reqID: 1, payload: new Uint8Array(64 * 1024), compression: 1, endStream: true }) }))
  pass(biDir({ first: msg.first({ endStream: true }) }))
  pass(sync(), { sessionCount: 255 })
  pass(sync(), { sessionCount: 1e6, maxSessions: 0 })
  pass(sync({ first: msg.first() }), { isMinor1: false })
  t.end()
})

t.test('on the wire: no session, the connection unharmed', async t => {
  const { peer, conn } = scriptedClient(t, { maxSessionsPerConnection: 1, maxMetadataBytes: 1000 }, (server) => {
    server.register('p', 'S', 'Sync', new SyncHandler((_context, request) => request))
    server.register('p', 'S', 'BiDir', new BiDirHandler(async () => {}))
  })
  for (const [what, open, state, errCode] of REFUSALS) {
    if (state.closed !== undefined || state.sessionCount !== undefined) continue
    peer.send(open)
    const ack = await peer.expect('openAck', { openID: 1, sessionID: 0, errCode, window: 0 })
    t.not(ack.error, '', what)
  }
  t.equal(conn.sessionCount, 0)
  peer.send(sync({ first: msg.first({ reqID: 1, payload: text('x') }) }), sync({ openID: 2, first: msg.first({ reqID: 1, payload: text('never') }) }))
  await peer.expect('openAck', { sessionID: 1, errCode: 0 })
  await peer.expect('payload', { sessionID: 1, reqID: 1, payload: text('x') })
  await peer.expect('openAck', { openID: 2, errCode: Category.ResourceExhausted })
  await peer.expectSilence()
  peer.send(msg.close())
  peer.send(sync({ openID: 3 }))
  await peer.expect('openAck', { openID: 3, sessionID: 2, errCode: 0 })
})

t.test('an overloaded server refuses with its reason', async t => {
  let overload: RpcError | undefined
  const server = new Server({}, { overload: () => overload })
  server.register('p', 'S', 'Sync', new SyncHandler((_context, request) => request))
  const { peer } = attach(t, server)
  overload = new RpcError(Category.Unavailable, 'busy')
  peer.send(sync())
  await peer.expect('openAck', { errCode: Category.Unavailable, error: 'busy' })
  overload = undefined
  peer.send(sync())
  await peer.expect('openAck', { errCode: 0 })
})
