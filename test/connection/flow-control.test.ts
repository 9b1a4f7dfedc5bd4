import t from 'tap'
import fc from 'fast-check'
import {
  DEFAULT_WINDOW_BYTES, FRAME_COST_OVERHEAD, GrowthBudget, MAX_WINDOW_BYTES, MIN_WINDOW_BYTES, ReceiveCredit, SendCredit, effectiveWindow, frameCost
} from '../../lib/connection/flow-control.js'

t.test('both sides make the same window of an announcement', t => {
  t.equal(effectiveWindow(0), MIN_WINDOW_BYTES, 'absent: the smallest')
  t.equal(effectiveWindow(MIN_WINDOW_BYTES - 1), MIN_WINDOW_BYTES)
  t.equal(effectiveWindow(MIN_WINDOW_BYTES + 1), MIN_WINDOW_BYTES + 1)
  t.equal(effectiveWindow(0xffffffff), MAX_WINDOW_BYTES, 'cut to 2^31-1')
  t.equal(DEFAULT_WINDOW_BYTES, 256 * 1024)
  t.equal(MIN_WINDOW_BYTES, 128 * 1024)
  t.equal(MAX_WINDOW_BYTES, 2 ** 31 - 1)
  t.end()
})

t.test('a frame costs its bytes and 64', t => {
  t.equal(FRAME_COST_OVERHEAD, 64)
  t.equal(frameCost(1000), 1064)
  t.end()
})

t.test('credit to send', t => {
  const credit = new SendCredit(MIN_WINDOW_BYTES + 1)
  t.equal(credit.available, MIN_WINDOW_BYTES + 1)
  t.equal(credit.maxFrameCost, MIN_WINDOW_BYTES / 2, 'half of an odd window is rounded down')
  t.ok(credit.grant(MAX_WINDOW_BYTES - credit.available), 'up to 2^31-1')
  t.notOk(credit.grant(1), 'and not beyond')
  const unlimited = new SendCredit(Infinity)
  t.ok(unlimited.grant(5), 'toward a 1.0 peer there is no limit')
  t.equal(unlimited.maxFrameCost, Infinity)
  t.end()
})

t.test('credit to receive', t => {
  const credit = new ReceiveCredit(1000)
  t.ok(credit.charge(1000), 'all of it')
  t.equal(credit.outstanding, 0)
  t.equal(credit.take(499), 0, 'less than half is kept back')
  t.equal(credit.take(1), 500, 'half is returned at once')
  t.equal(credit.outstanding, 500)
  t.notOk(credit.charge(501), 'more than there is')
  t.end()
})

t.test('nothing gets lost, and the next frame always finds credit', t => {
  fc.assert(fc.property(
    fc.integer({ min: MIN_WINDOW_BYTES, max: 4 * MIN_WINDOW_BYTES }),
    fc.array(fc.record({ cost: fc.integer({ min: 64, max: MIN_WINDOW_BYTES / 2 }), reads: fc.nat({ max: 5 }) }), { maxLength: 200 }),
    (window, steps) => {
      const sender = new SendCredit(window)
      const receiver = new ReceiveCredit(window)
      const unread: number[] = []
      let returnable = 0
      const read = (): void => {
        const cost = unread.shift()
        if (cost === undefined) return
        returnable += cost
        const bytes = receiver.take(cost)
        returnable -= bytes
        if (bytes > 0 && !sender.grant(bytes)) throw new Error('more than the protocol allows')
      }
      for (const { cost, reads } of steps) {
        if (cost <= sender.available) {
          sender.available -= cost
          if (!receiver.charge(cost)) throw new Error('the two sides do not agree')
          unread.push(cost)
        }
        for (let i = 0; i < reads; i++) read()
        if (receiver.outstanding !== sender.available) throw new Error('credit got lost on the way')
      }
      while (unread.length > 0) read()
      return receiver.outstanding + returnable === window && sender.available >= sender.maxFrameCost
    }
  ))
  t.end()
})

t.test('a window that grows', t => {
  const window = MIN_WINDOW_BYTES
  const setUp = (budgetBytes = 16 * window, maxWindow = 4 * window): { credit: ReceiveCredit, budget: GrowthBudget, at: (ms: number) => void } => {
    let now = 0
    const budget = new GrowthBudget(maxWindow, budgetBytes)
    return { credit: new ReceiveCredit(window, budget, { now: () => now }), budget, at: (ms) => { now = ms } }
  }

  t.test('when the peer used it up and the reader keeps up', t => {
    const { credit, at } = setUp()
    at(1000)
    credit.charge(window)
    t.equal(credit.take(window), 2 * window, 'as much again')
    t.equal(credit.outstanding, 2 * window)
    at(2000)
    credit.charge(2 * window)
    t.equal(credit.take(2 * window), 4 * window)
    at(3000)
    credit.charge(4 * window)
    t.equal(credit.take(4 * window), 4 * window, 'but not beyond the largest')
    t.end()
  })

  t.test('not when the reader is slow', t => {
    const { credit, at } = setUp()
    at(1000)
    credit.charge(window)
    t.equal(credit.take(window / 2), window / 2, 'half a window is still unread')
    t.equal(credit.outstanding, window / 2)
    t.end()
  })

  t.test('not when the peer has enough', t => {
    const { credit, at } = setUp()
    for (let i = 1; i < 20; i++) {
      at(i * 1000)
      credit.charge(window / 2)
      t.equal(credit.take(window / 2), window / 2)
    }
    t.end()
  })

  t.test('not beyond the budget of the connection, which gets it back', t => {
    const { credit, budget, at } = setUp(window + 5)
    at(1000)
    credit.charge(window)
    t.equal(credit.take(window), 2 * window)
    at(2000)
    credit.charge(2 * window)
    t.equal(credit.take(2 * window), 2 * window + 5, 'what there is')
    t.equal(budget.take(1), 0)
    credit.release()
    credit.release()
    t.equal(budget.take(1e9), window + 5, 'once')
    t.end()
  })

  t.test('never loses credit and never promises more than it may', t => {
    fc.assert(fc.property(
      fc.array(fc.record({ cost: fc.integer({ min: 64, max: window / 2 }), reads: fc.nat({ max: 6 }), ms: fc.nat({ max: 30 }) }), { maxLength: 300 }),
      fc.nat({ max: 8 * window }),
      (steps, budgetBytes) => {
        const { credit, budget, at } = setUp(budgetBytes)
        const sender = new SendCredit(window)
        const unread: number[] = []
        let now = 0
        let granted = window
        let taken = 0
        let returned = 0
        const read = (): boolean => {
          const cost = unread.shift()
          if (cost === undefined) return true
          taken += cost
          const bytes = credit.take(cost)
          returned += bytes
          granted = Math.max(granted, window + returned - taken)
          return bytes === 0 || sender.grant(bytes)
        }
        for (const { cost, reads, ms } of steps) {
          at(now += ms)
          if (cost <= sender.available) {
            sender.available -= cost
            if (!credit.charge(cost)) return false
            unread.push(cost)
          }
          for (let i = 0; i < reads; i++) if (!read()) return false
          if (credit.outstanding !== sender.available || granted > 4 * window) return false
        }
        while (unread.length > 0) read()
        if (sender.available < sender.maxFrameCost) return false
        credit.release()
        return budget.take(1e12) === budgetBytes
      }
    ))
    t.end()
  })
  t.end()
})
