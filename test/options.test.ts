import t from 'tap'
import { PLUGIN_OPTIONS, SERVER_OPTIONS, resolveOptions } from '../lib/options.js'
import type { OptionSpec } from '../lib/options.js'
import type { ServerOptions } from '../types/options.js'

const fail = (message: string): Error => new Error(message)
const resolve = (given: object): Record<string, unknown> => resolveOptions<ServerOptions>(SERVER_OPTIONS, given, fail)

/** Values that each kind must refuse, and some that it must take. */
const VALUES: Record<OptionSpec['kind'], { good: (spec: OptionSpec) => unknown[], bad: unknown[] }> = {
  integer: { good: (spec) => spec.kind === 'integer' ? [spec.min, spec.max, spec.default] : [], bad: [1.5, NaN, Infinity, '5', null, -1, 2 ** 53] },
  boolean: { good: () => [true, false], bad: [1, 'true', null] },
  string: { good: (spec) => [spec.default], bad: ['', 5, null] },
  choice: { good: (spec) => spec.kind === 'choice' ? [...spec.choices] : [], bad: ['nonsense', 99, null] },
  list: { good: (spec) => [[], spec.kind === 'list' && spec.of === 'function' ? [() => {}] : [{}]], bad: ['x', [1], [null], {}] },
  guard: { good: () => [true, false, () => true], bad: ['yes', 1, null] },
  origins: { good: () => [[], ['https://example.org'], () => true], bad: ['x', [1], null] }
}

t.test('every row of both tables', t => {
  const table: Record<string, OptionSpec> = { ...SERVER_OPTIONS, ...PLUGIN_OPTIONS }
  const resolveOne = (name: string, value: unknown): unknown =>
    (resolveOptions({ [name]: table[name] } as never, { [name]: value } as never, fail) as Record<string, unknown>)[name]
  for (const [name, spec] of Object.entries(table)) {
    t.match(spec.doc, /^[A-Z].*[.`]$/, `${name} has a sentence`)
    t.same(resolveOne(name, undefined), spec.default, `${name} has its default`)
    for (const good of VALUES[spec.kind].good(spec)) t.same(resolveOne(name, good), good, `${name} takes a good value`)
    for (const bad of VALUES[spec.kind].bad) t.throws(() => resolveOne(name, bad), { message: new RegExp(`^option ${name} must be `) }, `${name} refuses ${String(bad)}`)
    if (spec.kind === 'integer') {
      t.throws(() => resolveOne(name, spec.min - 1))
      t.throws(() => resolveOne(name, spec.max + 1))
      t.ok(spec.default >= spec.min && spec.default <= spec.max)
    }
  }
  t.end()
})

t.test('the result is frozen, complete and not the object that was given', t => {
  const given = { unaryInterceptors: [async () => new Uint8Array(0)], packing: true }
  const resolved = resolve(given)
  t.ok(Object.isFrozen(resolved))
  t.ok(Object.isFrozen(resolved.unaryInterceptors))
  t.not(resolved.unaryInterceptors, given.unaryInterceptors)
  t.same(Object.keys(resolved).sort(), Object.keys(SERVER_OPTIONS).sort())
  t.equal(resolved.packing, true)
  t.end()
})

t.test('what is no option is told', t => {
  t.throws(() => resolve({ windowByte: 1 }), { message: 'there is no option windowByte' })
  t.throws(() => resolve({ toString: 1 }), { message: 'there is no option toString' })
  t.throws(() => resolve(null as unknown as object), { message: /object/ })
  t.throws(() => resolve('x' as unknown as object), { message: /object/ })
  t.end()
})
