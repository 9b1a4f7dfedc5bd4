import t from 'tap'
import { Metadata, NO_METADATA, metadataEntries } from '../lib/metadata.js'
import { str, text } from './helpers/scripted-peer.js'

t.test('keys are folded, values are bytes', t => {
  const metadata = new Metadata({ Key: 'text', bytes: new Uint8Array([1, 2]) })
  t.equal(metadata.get('KEY'), 'text')
  t.same(metadata.getBytes('Bytes'), new Uint8Array([1, 2]))
  t.equal(metadata.get('missing'), undefined)
  t.ok(metadata.has('kEy'))
  t.same([...metadata].map(([key]) => key), ['key', 'bytes'])
  t.equal(metadata.size, 2)
  t.end()
})

t.test('a key may stand more than once: the last one counts', t => {
  const metadata = new Metadata([['a', '1'], ['b', '2'], ['A', '3']])
  t.equal(metadata.get('a'), '3')
  t.same(metadata.getAll('a').map(str), ['1', '3'])
  t.same(metadata.toObject(), { a: '3', b: '2' })
  metadata.set('a', '4')
  t.same(metadata.getAll('a').map(str), ['4'])
  t.ok(metadata.delete('A'))
  t.notOk(metadata.delete('A'))
  t.equal(metadata.size, 1)
  t.end()
})

t.test('merge replaces by key', t => {
  const metadata = new Metadata([['a', '1'], ['a', '2'], ['b', '3']])
  metadata.merge([['a', '4'], ['c', '5'], ['c', '6']])
  t.same([...metadata].map(([key, value]) => key + str(value)), ['b3', 'a4', 'c5', 'c6'])
  metadata.merge(metadata)
  t.equal(metadata.size, 4)
  t.end()
})

t.test('copies what it is made from', t => {
  const one = new Metadata({ a: '1' })
  const two = new Metadata(one)
  two.set('a', '2')
  t.equal(one.get('a'), '1')
  t.end()
})

t.test('entries, as the wire has them', t => {
  t.equal(metadataEntries(undefined), NO_METADATA)
  t.equal(metadataEntries({}), NO_METADATA)
  t.same(metadataEntries({ A: 'b' }), [{ key: 'a', value: text('b') }])
  const metadata = new Metadata({ a: 'b' })
  t.equal(metadataEntries(metadata), metadata.toEntries())
  t.same(Metadata.fromEntries([{ key: 'UPPER', value: text('x') }]).toObject(), { upper: 'x' })
  t.end()
})

t.test('text that is no UTF-8, and text that begins with a mark', t => {
  t.equal(new Metadata({ a: new Uint8Array([0xff]) }).get('a'), '\ufffd')
  t.equal(new Metadata({ a: '\ufeffx' }).get('a'), '\ufeffx')
  t.end()
})

t.test('what is neither text nor bytes is told', t => {
  for (const wrong of [undefined, null, 5, {}, [1]]) t.throws(() => new Metadata({ a: wrong as string }), TypeError)
  t.end()
})
