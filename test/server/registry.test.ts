import t from 'tap'
import { ErrorCode } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import type { Handler } from '../../lib/server/handlers.js'
import { MAX_NAME_BYTES } from '../../lib/connection/limits.js'
import { Registry } from '../../lib/server/registry.js'
import { RpcType } from '../../lib/wire/message.js'

const handler = new SyncHandler((_context, request) => request)

t.test('finds what was registered, by exact names', t => {
  const registry = new Registry()
  registry.register('p', 'S', 'C', handler)
  t.equal(registry.lookup('p', 'S', 'C')?.handler, handler)
  t.equal(registry.lookupByDescr({ package: 'p', service: 'S', call: 'C' })?.type, RpcType.Synchronous)
  t.equal(registry.lookup('p', 's', 'C'), undefined)
  t.equal(registry.lookup('P', 'S', 'C'), undefined)
  t.end()
})

t.test('names cannot collide, whatever they contain', t => {
  const registry = new Registry()
  const names = [['a/b', 'c', 'd'], ['a', 'b/c', 'd'], ['a', 'b', 'c/d'], ['a/b/c', 'd', 'e'], ['', 'a', 'bcd'], ['', 'ab', 'cd'], ['a', 'b', 'cd'], ['1:', '1', 'x'], ['1', ':1', 'x']] as const
  for (const [pkg, service, call] of names) registry.register(pkg, service, call, handler)
  t.equal([...registry.handlers()].length, names.length)
  t.end()
})

t.test('lists them in the order of registration', t => {
  const registry = new Registry()
  registry.register('p', 'S', 'B', new BiDirHandler(async () => {}))
  registry.register('p', 'S', 'A', new SendHandler(async () => {}))
  registry.register('', 'S', 'C', new RecvHandler(async () => {}))
  t.same([...registry.handlers()], [
    { package: 'p', service: 'S', call: 'B', type: RpcType.BiDirectional },
    { package: 'p', service: 'S', call: 'A', type: RpcType.Send },
    { package: '', service: 'S', call: 'C', type: RpcType.Recv }
  ])
  t.end()
})

t.test('what is refused', t => {
  const registry = new Registry()
  registry.register('p', 'S', 'C', handler)
  t.throws(() => { registry.register('p', 'S', 'C', handler) }, { code: ErrorCode.HANDLER_EXISTS, message: /p\/S\/C/ })
  const long = 'x'.repeat(MAX_NAME_BYTES)
  registry.register(long, long, long, handler)
  for (const [pkg, service, call] of [['p', '', 'C'], ['p', 'S', ''], [long + 'x', 'S', 'C'], ['p', '\u20ac'.repeat(342), 'C'], [undefined, 'S', 'C'], ['p', 1, 'C']] as [string, string, string][]) {
    t.throws(() => { registry.register(pkg, service, call, handler) }, { code: ErrorCode.ARGUMENT_INVALID })
  }
  for (const wrong of [undefined, null, () => {}, {}, { type: 1 }, { type: 9, handle () {} }, { handle () {} }]) {
    t.throws(() => { registry.register('p', 'S', 'X', wrong as unknown as Handler) }, { code: ErrorCode.ARGUMENT_INVALID })
  }
  t.end()
})
