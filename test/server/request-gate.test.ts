import t from 'tap'
import { RequestGate } from '../../lib/server/request-gate.js'
import type { GateUser } from '../../lib/server/request-gate.js'

class User {
  admissions = 0
  gatePlace: GateUser['gatePlace'] = 'none'
  readonly whenAdmitted: (user: User) => void
  constructor (whenAdmitted: (user: User) => void = () => {}) { this.whenAdmitted = whenAdmitted }
  admitted (): void {
    this.admissions++
    this.whenAdmitted(this)
  }
}

t.test('lets so many in, the others in order', t => {
  const gate = new RequestGate(2)
  const users = Array.from({ length: 5 }, () => new User())
  for (const user of users) gate.enter(user)
  t.same(users.map((user) => user.admissions), [1, 1, 0, 0, 0])
  gate.leave(users[3] as User)
  t.equal(gate.waiting, 2, 'who is tired of waiting is forgotten')
  gate.leave(users[0] as User)
  gate.leave(users[0] as User)
  t.same(users.map((user) => user.admissions), [1, 1, 1, 0, 0], 'leaving twice lets one in')
  gate.leave(users[1] as User)
  t.same(users.map((user) => user.admissions), [1, 1, 1, 0, 1])
  gate.leave(users[2] as User)
  gate.leave(users[4] as User)
  t.equal(gate.inside, 0)
  t.equal(gate.waiting, 0)
  t.end()
})

t.test('many that leave at once do not grow the stack', t => {
  const gate = new RequestGate(1)
  const first = new User()
  gate.enter(first)
  let count = 0
  for (let i = 0; i < 100_000; i++) {
    gate.enter(new User((user) => {
      count++
      gate.leave(user)
    }))
  }
  gate.leave(first)
  t.equal(count, 100_000)
  t.equal(gate.inside, 0)
  t.end()
})
