import t from 'tap'
import { Places } from '../../lib/connection/places.js'

class Taker {
  granted = 0
  isRunning = true
  placeGranted (): void { this.granted++ }
}

t.test('places are given in the order of asking', t => {
  const places = new Places(2)
  const takers = Array.from({ length: 4 }, () => new Taker())
  const [a, b, c, d] = takers as [Taker, Taker, Taker, Taker]
  for (const taker of takers) places.request(taker)
  t.same(takers.map((taker) => taker.granted), [1, 1, 0, 0])
  places.release(b)
  t.same(takers.map((taker) => taker.granted), [1, 1, 1, 0])
  places.release(a)
  t.equal(d.granted, 1)
  places.release(a)
  t.equal(c.granted, 1, 'giving it back twice gives nobody a second one')
  t.end()
})

t.test('who gives the wish up is passed over', t => {
  const places = new Places(1)
  const [a, b, c] = [new Taker(), new Taker(), new Taker()]
  places.request(a)
  places.request(b)
  places.request(c)
  places.release(b)
  places.release(a)
  t.equal(b.granted, 0)
  t.equal(c.granted, 1)
  t.end()
})

t.test('who has a place is told so again', t => {
  const places = new Places(1)
  const taker = new Taker()
  places.request(taker)
  places.request(taker)
  t.equal(taker.granted, 2)
  t.end()
})

t.test('who needs none any more when it comes may give it back at once', t => {
  const places = new Places(1)
  const first = new Taker()
  const last = new Taker()
  const shy = { isRunning: true, placeGranted: (): void => { places.release(shy) } }
  places.request(first)
  places.request(shy)
  places.request(last)
  places.release(first)
  t.equal(last.granted, 1)
  t.end()
})

t.test('one is kept for those who run', t => {
  const places = new Places(2)
  const [a, b, c] = [new Taker(), new Taker(), new Taker()]
  a.isRunning = b.isRunning = false
  places.request(a)
  places.request(b)
  t.same([a.granted, b.granted], [1, 0], 'whoever waits for its turn leaves it')
  places.request(c)
  t.equal(c.granted, 1)
  places.release(c)
  t.equal(b.granted, 0)
  b.isRunning = true
  places.grant()
  t.equal(b.granted, 1, 'until its turn comes')
  t.end()
})

t.test('a holder that begins to run leaves the place of those who wait for their turn', t => {
  const places = new Places(2)
  const [a, b] = [new Taker(), new Taker()]
  a.isRunning = b.isRunning = false
  places.request(a)
  places.request(b)
  a.isRunning = true
  places.grant()
  t.equal(b.granted, 1)
  t.end()
})

t.test('one alone is for whoever asks first', t => {
  const places = new Places(1)
  const taker = new Taker()
  taker.isRunning = false
  places.request(taker)
  t.equal(taker.granted, 1)
  t.end()
})
