import t from 'tap'
import { RunPool } from '../../lib/server/run-pool.js'
import type { Run } from '../../lib/server/run-pool.js'

class Task implements Run {
  place: Run['place'] = 'none'
  started = 0
  readonly whenStarted: (task: Task) => void
  constructor (whenStarted: (task: Task) => void = () => {}) { this.whenStarted = whenStarted }
  start (): void {
    this.started++
    this.whenStarted(this)
  }
}

t.test('so many run at a time, the others in order', t => {
  const pool = new RunPool(2, 10)
  const tasks = Array.from({ length: 5 }, () => new Task())
  for (const task of tasks) t.ok(pool.enter(task))
  t.same(tasks.map((task) => task.started), [1, 1, 0, 0, 0])
  t.equal(pool.running, 2)
  t.equal(pool.queued, 3)
  pool.leave(tasks[1] as Task)
  t.same(tasks.map((task) => task.started), [1, 1, 1, 0, 0])
  pool.leave(tasks[1] as Task)
  t.same(tasks.map((task) => task.started), [1, 1, 1, 0, 0], 'leaving twice frees one place')
  pool.leave(tasks[3] as Task)
  t.equal(pool.queued, 1, 'who is tired of waiting leaves the queue')
  pool.leave(tasks[0] as Task)
  t.same(tasks.map((task) => task.started), [1, 1, 1, 0, 1])
  pool.leave(tasks[2] as Task)
  pool.leave(tasks[4] as Task)
  t.equal(pool.running, 0)
  t.end()
})

t.test('a full queue takes nobody', t => {
  const pool = new RunPool(1, 1)
  t.ok(pool.enter(new Task()))
  t.ok(pool.enter(new Task()))
  t.notOk(pool.enter(new Task()))
  t.equal(pool.queued, 1)
  t.end()
})

t.test('0 is no limit', t => {
  const pool = new RunPool(0, 0)
  for (let i = 0; i < 1000; i++) if (!pool.enter(new Task())) t.fail('refused')
  t.equal(pool.running, 1000)
  t.end()
})

t.test('a long queue of runs that end at once does not grow the stack', t => {
  const pool = new RunPool(1, 200_000)
  const first = new Task()
  pool.enter(first)
  let last = -1
  let inOrder = true
  for (let i = 0; i < 100_000; i++) {
    pool.enter(new Task((task) => {
      inOrder &&= last === i - 1
      last = i
      pool.leave(task)
    }))
  }
  pool.leave(first)
  t.equal(pool.running, 0)
  t.equal(pool.queued, 0)
  t.ok(inOrder)
  t.end()
})

t.test('who comes while others wait does not overtake them', t => {
  const pool = new RunPool(1, 10)
  const order: string[] = []
  const first = new Task()
  pool.enter(first)
  const late = new Task(() => { order.push('late') })
  pool.enter(new Task((task) => {
    order.push('a')
    pool.leave(task)
    pool.enter(late)
  }))
  pool.enter(new Task((task) => {
    order.push('b')
    pool.leave(task)
  }))
  pool.leave(first)
  t.same(order, ['a', 'b', 'late'])
  t.end()
})
