// A map of numbers does what Map does, whatever the numbers are and however they come and go.
import fc from 'fast-check'
import t from 'tap'
import { IdMap, spread } from '../lib/id-map.js'

type Step = ['set' | 'delete' | 'get', number]

const someId = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 0xffffffff }), fc.constantFrom(0, 0x7fffffff, 0x80000000, 0xffffffff))
const step: fc.Arbitrary<Step> = fc.tuple(fc.constantFrom('set', 'set', 'delete', 'get'), someId)

t.test('does what Map does', t => {
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const map = new IdMap<number>()
    const model = new Map<number, number>()
    steps.forEach(([what, id], i) => {
      if (what === 'set') {
        map.set(id, i)
        model.set(id, i)
      } else if (what === 'delete') t.equal(map.delete(id), model.delete(id))
      t.equal(map.get(id), model.get(id))
      t.equal(map.has(id), model.has(id))
      t.equal(map.size, model.size)
    })
    t.same(map.values(), [...model].sort(([one], [other]) => one - other).map(([, value]) => value))
  }), { numRuns: 60 })
  t.end()
})

t.test('numbers that rise, with a few that stay: as in a session', t => {
  const map = new IdMap<string>()
  const old = [1, 500, 9000]
  for (const id of old) map.set(id, `old ${id}`)
  for (let id = 10_000; id < 60_000; id++) {
    map.set(id, String(id))
    if (id >= 10_700) map.delete(id - 700)
  }
  t.equal(map.size, 703)
  t.same(map.values().slice(0, 4), ['old 1', 'old 500', 'old 9000', '59300'])
  for (let id = 59_300; id < 60_000; id++) if (map.get(id) !== String(id)) t.fail(`${id} is lost`)
  t.end()
})

t.test('cleared, it is empty and may be used again', t => {
  const map = new IdMap<string>()
  for (let id = 1; id <= 5000; id++) map.set(id, 'x')
  map.clear()
  t.equal(map.size, 0)
  t.notOk(map.has(7))
  t.notOk(map.delete(7))
  t.same(map.values(), [])
  map.set(7, 'again')
  t.equal(map.get(7), 'again')
  for (let id = 1; id <= 5000; id++) map.set(id, 'y')
  for (let id = 1; id <= 5000; id++) map.delete(id)
  t.equal(map.size, 0)
  map.set(9, 'after')
  t.same(map.values(), ['after'])
  t.end()
})

/** How many slots are looked at on the average when these are put into twice as many slots. */
function probes (ids: number[], seed: number): number {
  const slots = 2 * ids.length
  const taken = new Set<number>()
  let looks = 0
  for (const id of ids) {
    let at = spread(id, seed) >>> (32 - Math.log2(slots))
    for (looks++; taken.has(at); looks++) at = (at + 1) % slots
    taken.add(at)
  }
  return looks / ids.length
}

t.test('numbers that follow each other, or differ by a power of two, go far apart with every seed', t => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 0xffffffff }), fc.nat({ max: 2 ** 31 }), fc.nat({ max: 12 }), (seed, first, power) => {
    const ids = Array.from({ length: 512 }, (_, i) => first + i * 2 ** power)
    return probes(ids, seed) < 3
  }), { numRuns: 1000 })
  t.end()
})
