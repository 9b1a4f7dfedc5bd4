import t from 'tap'
import { Category, ErrorCode, ProtocolError, RpcError, categoryErrorCode, categoryFromCode, categoryName } from '../lib/errors.js'

t.test('categories have the numbers of the wire', t => {
  t.same(Object.values(Category), Array.from({ length: 17 }, (_, i) => i))
  for (const [name, category] of Object.entries(Category)) {
    t.equal(categoryName(category), name)
    t.equal(categoryFromCode(category), category)
  }
  t.equal(categoryName(17), 'Unknown')
  t.equal(categoryFromCode(17), Category.Unknown)
  t.equal(categoryFromCode(0xffff), Category.Unknown)
  t.end()
})

t.test('codes', t => {
  t.equal(categoryErrorCode(Category.NotFound), 'CLAW_ERR_NOT_FOUND')
  t.equal(categoryErrorCode(Category.OutOfRange), 'CLAW_ERR_OUT_OF_RANGE')
  t.equal(categoryErrorCode(Category.Internal), 'CLAW_ERR_INTERNAL')
  const codes = Object.values(ErrorCode)
  t.equal(new Set(codes).size, codes.length, 'no two alike')
  t.ok(codes.every((code) => /^CLAW_ERR_[A-Z0-9_]+$/.test(code)))
  t.end()
})

t.test('RpcError', t => {
  const cause = new Error('cause')
  const error = new RpcError(Category.NotFound, 'no such row', { metadata: { Row: '7' }, cause })
  t.match(error, { name: 'RpcError', category: 5, code: 'CLAW_ERR_NOT_FOUND', message: 'no such row', cause })
  t.ok(error instanceof Error)
  t.equal(error.metadata.get('row'), '7')
  t.equal(error.metadata, error.metadata, 'made once')
  t.equal(new RpcError(Category.Aborted, 'x', { code: 'MINE' }).code, 'MINE')
  t.equal(new RpcError(Category.Aborted, 'x').metadata.size, 0)
  t.notOk('cause' in new RpcError(Category.Aborted, 'x'))
  t.equal(new RpcError(Category.OK, 'x').category, Category.Internal, 'an error is never OK')
  t.end()
})

t.test('the one door for unknown errors', t => {
  const error = new RpcError(Category.Aborted, 'x')
  t.equal(RpcError.from(error), error)
  for (const value of [new Error('secret'), 'secret', undefined, null, 5]) {
    const made = RpcError.from(value)
    t.match(made, { category: Category.Internal, message: 'internal error' })
    t.equal(made.cause, value, 'kept for the log')
    t.notOk(RpcError.is(value))
  }
  t.end()
})

t.test('an RpcError of another copy of the package is one', t => {
  const foreign = { [Symbol.for('fastify-claw.RpcError')]: true, category: 5, message: 'x' }
  t.ok(RpcError.is(foreign))
  t.end()
})

t.test('ProtocolError says what it costs', t => {
  t.match(new ProtocolError('broken'), { name: 'ProtocolError', scope: 'connection', category: Category.Internal, code: ErrorCode.PROTOCOL })
  t.match(new ProtocolError('broken', { scope: 'session', category: Category.ResourceExhausted, code: ErrorCode.FLOW_CONTROL }), { scope: 'session', category: 8, code: ErrorCode.FLOW_CONTROL })
  t.end()
})
