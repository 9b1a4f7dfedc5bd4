import t from 'tap'
import fc from 'fast-check'
import { Inbox } from '../../lib/connection/inbox.js'

t.test('first in, first out', t => {
  const inbox = new Inbox<string>()
  t.equal(inbox.shift(), undefined)
  t.equal(inbox.peek(), undefined)
  inbox.push('a')
  inbox.push('b')
  t.equal(inbox.peek(), 'a')
  t.equal(inbox.length, 2)
  t.equal(inbox.shift(), 'a')
  t.equal(inbox.shift(), 'b')
  t.equal(inbox.length, 0)
  t.end()
})

t.test('those that came last', t => {
  const inbox = new Inbox<number>()
  t.same(inbox.last(3), [])
  for (let i = 0; i < 10; i++) inbox.push(i)
  t.same(inbox.last(3), [7, 8, 9])
  for (let i = 0; i < 8; i++) inbox.shift()
  t.same(inbox.last(3), [8, 9])
  t.same(inbox.last(0), [])
  t.equal(inbox.length, 2)
  t.end()
})

t.test('remove and clear keep the order', t => {
  const inbox = new Inbox<number>()
  for (let i = 0; i < 10; i++) inbox.push(i)
  inbox.shift()
  t.same(inbox.remove((item) => item % 2 === 0), [2, 4, 6, 8])
  t.equal(inbox.length, 5)
  inbox.push(11)
  t.same(inbox.clear(), [1, 3, 5, 7, 9, 11])
  t.equal(inbox.length, 0)
  t.same(inbox.clear(), [])
  t.end()
})

t.test('behaves like an array, whatever is done to it', t => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 1500 }) }) },
    { weight: 5, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 1500 }) }) },
    { weight: 1, arbitrary: fc.record({ remove: fc.integer({ min: 2, max: 7 }) }) }
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const inbox = new Inbox<number>()
    const model: number[] = []
    let next = 0
    for (const step of steps) {
      if ('push' in step) {
        for (let i = 0; i < step.push; i++, next++) {
          inbox.push(next)
          model.push(next)
        }
      } else if ('shift' in step) {
        for (let i = 0; i < step.shift; i++) if (inbox.shift() !== model.shift()) return false
      } else {
        const removed = inbox.remove((item) => item % step.remove === 0)
        const wanted = model.filter((item) => item % step.remove === 0)
        if (removed.join() !== wanted.join()) return false
        model.splice(0, model.length, ...model.filter((item) => item % step.remove !== 0))
      }
      if (inbox.length !== model.length || inbox.peek() !== model[0]) return false
    }
    return inbox.clear().join() === model.join()
  }), { numRuns: 200 })
  t.end()
})
