// registry.ts: who is found under which number and name, and what is refused.
import t from 'tap'
import { ErrorCode } from '../../lib/errors.js'
import { CompressorRegistry } from '../../lib/compression/registry.js'
import type { Compressor } from '../../types/compressor.js'

function compressor (id: number, name: string): Compressor {
  return { id, name, compress: bytes => bytes, decompress: bytes => bytes }
}

t.test('finds by number and by name, in the order of registration', t => {
  const [a, b] = [compressor(1, 'a'), compressor(255, 'b')]
  const registry = new CompressorRegistry([a]).register(b)
  t.equal(registry.get(1), a)
  t.equal(registry.get(255), b)
  t.equal(registry.byName('b'), b)
  t.equal(registry.get(2), undefined)
  t.equal(registry.byName('c'), undefined)
  t.strictSame([...registry], [a, b])
  t.equal(registry.size, 2)
  t.end()
})

t.test('refuses what is no compressor', t => {
  const registry = new CompressorRegistry()
  const wrong: unknown[] = [
    compressor(0, 'a'), compressor(256, 'a'), compressor(-1, 'a'), compressor(1.5, 'a'), compressor(NaN, 'a'), compressor(1, ''),
    { ...compressor(1, 'a'), id: '1' }, { ...compressor(1, 'a'), name: 7 },
    { ...compressor(1, 'a'), compress: undefined }, { ...compressor(1, 'a'), decompress: undefined }
  ]
  for (const value of wrong) t.throws(() => registry.register(value as Compressor), { code: ErrorCode.OPTION_INVALID })
  t.equal(registry.size, 0)
  t.end()
})

t.test('replaces only when told to', t => {
  const [a, b] = [compressor(1, 'a'), compressor(2, 'b')]
  const registry = new CompressorRegistry([a, b])
  for (const taken of [compressor(1, 'c'), compressor(3, 'a'), compressor(1, 'a'), a]) {
    t.throws(() => registry.register(taken), { code: ErrorCode.OPTION_INVALID, message: /replace: true/ })
  }
  t.strictSame([...registry], [a, b])

  const both = compressor(1, 'b') // the number of one and the name of the other
  registry.register(both, { replace: true })
  t.strictSame([...registry], [both])
  t.equal(registry.byName('a'), undefined)
  t.equal(registry.get(2), undefined)
  t.end()
})
