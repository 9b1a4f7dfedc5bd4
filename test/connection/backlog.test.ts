import t from 'tap'
import { Backlog, PAUSED_PONG_MS } from '../../lib/connection/backlog.js'
import type { Transport } from '../../types/transport.js'

function backlogOf (maxBytes: number): { backlog: Backlog, calls: string[], at: (now: number) => void, hold: (bytes: number) => void } {
  const calls: string[] = []
  let now = 0
  const transport: Transport = {
    start () {},
    write () {},
    close () {},
    destroy () {},
    pause () { calls.push('pause') },
    resume () { calls.push('resume') }
  }
  const backlog = new Backlog(transport, maxBytes)
  return { backlog, calls, at: (time) => { now = time }, hold: (bytes) => { backlog.hold(bytes, () => now) } }
}

t.test('pauses at the bound, resumes at half of it', t => {
  const { backlog, calls, hold } = backlogOf(1000)
  hold(999)
  t.same(calls, [])
  hold(1)
  t.same(calls, ['pause'])
  hold(500)
  t.same(calls, ['pause'], 'what was under way still comes')
  hold(-900)
  t.ok(backlog.isPaused)
  hold(-100)
  t.same(calls, ['pause', 'resume'])
  t.notOk(backlog.isPaused)
  t.equal(backlog.heldBytes, 500)
  t.end()
})

t.test('a Pong every five seconds while paused', t => {
  const { backlog, at, hold } = backlogOf(1000)
  t.notOk(backlog.wantsPong(1e6), 'not while it reads')
  at(100)
  hold(1000)
  t.notOk(backlog.wantsPong(100 + PAUSED_PONG_MS - 1))
  t.ok(backlog.wantsPong(100 + PAUSED_PONG_MS))
  t.notOk(backlog.wantsPong(100 + PAUSED_PONG_MS + 1), 'one is enough')
  t.ok(backlog.wantsPong(100 + 2 * PAUSED_PONG_MS))
  hold(-1000)
  t.notOk(backlog.wantsPong(1e6))
  t.end()
})

t.test('stuck is who takes nothing for the time', t => {
  const { backlog, at, hold } = backlogOf(1000)
  t.notOk(backlog.isStuck(1e6, 60_000))
  hold(2000)
  t.notOk(backlog.isStuck(59_999, 60_000))
  t.ok(backlog.isStuck(60_000, 60_000))
  at(59_000)
  hold(-1)
  t.notOk(backlog.isStuck(60_000, 60_000), 'a little was taken')
  at(59_500)
  hold(1)
  t.ok(backlog.isStuck(119_000, 60_000), 'what arrives is no progress')
  t.end()
})
