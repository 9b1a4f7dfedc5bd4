import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { systemClock } from '../lib/clock.js'
import { FakeClock } from './helpers/fake-clock.js'
import type { AddressInfo } from 'node:net'

const clockUrl = new URL('../lib/clock.ts', import.meta.url).href

/** Runs code in a process of its own, with `systemClock` at hand. */
function run (before: string, after: string): { status: number | null, stdout: string } {
  const code = `${before}; const { systemClock } = await import(${JSON.stringify(clockUrl)}); ${after}`
  const loader = new URL('../scripts/ts-loader.mjs', import.meta.url).href
  const child = spawnSync(process.execPath, ['--import', loader, '--input-type=module', '-e', code], { encoding: 'utf8', timeout: 30_000 })
  return { status: child.status, stdout: child.stdout }
}

t.test('now is monotonic', t => {
  const first = systemClock.now()
  t.ok(systemClock.now() >= first)
  t.end()
})

t.test('a timer fires once, unless stopped', async t => {
  let stopped = 0
  const timer = systemClock.timer(1, () => { stopped++ })
  timer.stop()
  timer.stop()
  const alive = setTimeout(() => {}, 30_000)
  t.teardown(() => { clearTimeout(alive) })
  await new Promise<void>(resolve => {
    const later = systemClock.timer(5, () => {
      later.stop()
      resolve()
    })
  })
  t.equal(stopped, 0)
})

t.test('a timer longer than setTimeout can count does not fire at once', async t => {
  const delays: (number | undefined)[] = []
  const pending: (() => void)[] = []
  t.intercept(globalThis, 'setTimeout', {
    value: (fire: () => void, ms?: number) => {
      delays.push(ms)
      pending.push(fire)
      return 0 // as in a browser: nothing to unref
    }
  })
  t.intercept(globalThis, 'clearTimeout', { value: () => {} })
  let fired = 0
  systemClock.timer(2 ** 31 + 1000, () => { fired++ })
  pending.shift()?.()
  t.equal(fired, 0)
  pending.shift()?.()
  t.equal(fired, 1)
  t.strictSame(delays, [2 ** 31 - 1, 1001])
  t.end()
})

t.test('the end of the turn comes after all promise continuations of the turn, however deep', async t => {
  const server = createServer(socket => { socket.write('x') })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })

  const order = await new Promise<string[]>(resolve => {
    const order: string[] = []
    const handler = async (name: string, depth: number): Promise<void> => {
      for (let i = 0; i < depth; i++) await Promise.resolve()
      order.push(name)
    }
    socket.once('data', () => {
      systemClock.endOfTurn(() => {
        order.push('end of turn')
        resolve(order)
      })
      setImmediate(() => order.push('next turn'))
      process.nextTick(handler, 'tick', 3)
      handler('shallow', 1).catch(t.threw)
      handler('deep', 100).catch(t.threw)
    })
  })
  t.strictSame(order, ['tick', 'shallow', 'deep', 'end of turn'].sort((a, b) => order.indexOf(a) - order.indexOf(b)))
  t.equal(order.at(-1), 'end of turn')
  t.equal(order.length, 4, 'and before the event loop turns')
})

t.test('the end of the turn from within a continuation', async t => {
  await Promise.resolve()
  const order: string[] = []
  const end = new Promise<void>(resolve => {
    systemClock.endOfTurn(() => {
      order.push('end')
      resolve()
    })
  })
  for (let i = 0; i < 50; i++) await Promise.resolve()
  order.push('deep')
  await end
  t.strictSame(order, ['deep', 'end'])
})

t.test('neither a timer nor a turn keeps a process alive', t => {
  const { status, stdout } = run('', 'systemClock.timer(60_000, () => {}); systemClock.endOfTurn(() => console.log("turn"))')
  t.equal(status, 0)
  t.equal(stdout, 'turn\n')
  t.end()
})

t.test('in a browser: after all microtasks, each turn in order', t => {
  const after = `
    const order = []
    const first = new Promise(resolve => systemClock.endOfTurn(() => { order.push('end'); resolve() }))
    const second = new Promise(resolve => systemClock.endOfTurn(() => { order.push('second'); resolve() }))
    ;(async () => { for (let i = 0; i < 100; i++) await undefined; order.push('deep') })()
    await first; await second
    out(order.join())`
  const noProcess = 'const out = console.log; const exit = process.exit; Object.defineProperty(globalThis, "process", { value: undefined })'
  t.equal(run(noProcess, `${after}; exit(0)`).stdout, 'deep,end,second\n', 'through a MessageChannel')
  t.equal(run(`${noProcess}; globalThis.MessageChannel = undefined`, `${after}; exit(0)`).stdout, 'deep,end,second\n', 'without one')
  t.end()
})

t.test('the fake clock', t => {
  const clock = new FakeClock({ turns: 'manual' })
  const fired: string[] = []
  clock.timer(20, () => fired.push(`b at ${clock.now()}`))
  clock.timer(10, () => {
    fired.push(`a at ${clock.now()}`)
    clock.timer(5, () => fired.push(`c at ${clock.now()}`))
  })
  clock.timer(30, () => fired.push('never')).stop()
  t.equal(clock.pendingTimers, 2)
  clock.advance(9)
  t.strictSame(fired, [])
  clock.advance(11)
  t.strictSame(fired, ['a at 10', 'c at 15', 'b at 20'])
  t.equal(clock.pendingTimers, 0)
  t.equal(clock.now(), 20)
  clock.endOfTurn(() => fired.push('turn'))
  clock.endTurn()
  t.equal(fired.at(-1), 'turn')
  t.end()
})
