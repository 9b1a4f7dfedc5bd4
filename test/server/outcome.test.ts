import t from 'tap'
import { Category, RpcError } from '../../lib/errors.js'
import { CallContext } from '../../lib/server/context.js'
import type { SessionContext } from '../../lib/server/context.js'
import { deadlineIn } from '../../lib/server/deadline.js'
import { canceled, checkAnswer, outcomeOf } from '../../lib/server/outcome.js'
import { silentLogger } from '../../lib/server/silent-logger.js'
import { NO_BYTES } from '../../lib/wire/message.js'
import { text } from '../helpers/scripted-peer.js'

const connection = { id: 1, remoteAddress: '::1', isDraining: false, minor: 1, close: async () => {} } as const
const session: SessionContext = {
  package: 'p',
  service: 'S',
  call: 'C',
  type: 1,
  session: 5,
  connection,
  request: undefined,
  log: silentLogger,
  metadata: [{ key: 'A', value: text('open') }, { key: 'b', value: text('open') }],
  traceID: NO_BYTES,
  spanID: NO_BYTES
}
const contextOf = (metadata: SessionContext['metadata'] = []): CallContext => new CallContext(session, 7, metadata, undefined)

t.test('what a handler threw, and what the peer is told', t => {
  const known = new RpcError(Category.NotFound, 'no such row')
  t.same(outcomeOf(known, contextOf()), { error: known, foreign: undefined })

  for (const thrown of [new Error('secret'), 'secret', undefined, null, 5, {}]) {
    const { error, foreign } = outcomeOf(thrown, contextOf())
    t.equal(error.category, Category.Internal)
    t.notMatch(error.message, /secret/)
    t.ok(foreign !== undefined && foreign !== null, 'there is something to log')
  }

  const context = contextOf()
  context.abort(canceled('gone'))
  t.equal(outcomeOf(new DOMException('stopped', 'AbortError'), context).error.category, Category.Canceled, 'an abort of some library')
  t.equal(outcomeOf(new Error('own'), context).error.category, Category.Internal, 'another error is another error')
  t.equal(outcomeOf(new DOMException('stopped', 'AbortError'), contextOf()).error.category, Category.Internal, 'an abort of something else')
  t.end()
})

t.test('answers are bytes', t => {
  const bytes = text('x')
  t.equal(checkAnswer(bytes), bytes)
  t.equal(checkAnswer(Buffer.from('x')).byteLength, 1)
  for (const wrong of [undefined, null, 'x', 5, {}, new ArrayBuffer(1)]) t.throws(() => checkAnswer(wrong), TypeError)
  t.end()
})

t.test('deadlines', t => {
  t.equal(deadlineIn(0n, 0), undefined)
  t.equal(deadlineIn(5n, 0), 5)
  t.equal(deadlineIn(5n, 3), 3)
  t.equal(deadlineIn(0n, 3), 3)
  t.equal(deadlineIn(0xffffffffffffffffn, 0), 0x7fffffff, 'clamped')
  t.end()
})

t.test('the context', t => {
  const context = contextOf([{ key: 'a', value: text('request') }])
  t.same(context.metadata.toObject(), { a: 'request', b: 'open' }, 'the request wins, by key')
  t.match(context, { package: 'p', service: 'S', call: 'C', type: 1, session: 5, reqID: 7, remoteAddress: '::1', deadline: undefined })
  t.throws(() => context.request, { code: 'CLAW_ERR_ARGUMENT_INVALID' })
  t.equal(context.trailerEntries, undefined)
  context.setTrailer({ a: '1' })
  context.setTrailer({ b: '2', a: '3' })
  t.same(context.trailer.toObject(), { b: '2', a: '3' })
  t.equal(context.log, context.log)
  t.match(new CallContext(session, 1, [], 1000).deadline, new Date(1000))

  const { signal } = context
  let reason: unknown
  signal.addEventListener('abort', () => { reason = signal.reason })
  const first = canceled('first')
  context.abort(first)
  context.abort(canceled('second'))
  t.equal(reason, first, 'the first reason stands')
  const late = contextOf()
  late.abort(first)
  t.ok(late.signal.aborted, 'also for who asks later')
  t.equal(late.abortReason, first)
  t.end()
})
