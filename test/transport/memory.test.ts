import t from 'tap'
import { Recorder, Writer, pattern, quiet } from './recorder.js'
import { transportSuite } from './transport-suite.js'
import { memoryPair } from '../../lib/transport/memory.js'
import { FakeClock } from '../helpers/fake-clock.js'
import type { MemoryPairOptions } from '../../lib/transport/memory.js'

function open (options?: MemoryPairOptions) {
  return async () => {
    const [near, far] = memoryPair(options)
    return { near, far, breakFar: () => { far.destroy(new Error('the cat')) }, leftovers: async () => [] }
  }
}

function start (options?: MemoryPairOptions) {
  const [near, far] = memoryPair(options)
  const nearSink = new Recorder()
  const farSink = new Recorder()
  near.start(nearSink)
  far.start(farSink)
  return { near, far, nearSink, farSink, nearWriter: new Writer(near), farWriter: new Writer(far) }
}

t.test('in microtasks', t => {
  transportSuite(t, { open: open() })
  t.end()
})

t.test('in pieces of other sizes', t => {
  transportSuite(t, { open: open({ split: available => available > 100_000 ? 65_521 : 4093 }) })
  t.end()
})

t.test('by a clock', t => {
  transportSuite(t, { open: open({ clock: new FakeClock() }) })
  t.end()
})

t.test('done means that the other side has it', async t => {
  const { far, farSink, nearWriter } = start()
  far.pause()
  nearWriter.write(pattern(10))
  nearWriter.write(pattern(10))
  await quiet(() => nearWriter.order.length, 5)
  t.strictSame(nearWriter.done, [0, 0])
  farSink.whenData = () => { far.pause() }
  far.resume()
  await farSink.received(10)
  await quiet(() => nearWriter.order.length, 5)
  t.strictSame(nearWriter.done, [1, 0])
})

t.test('the reader owns its chunk, the writer its memory', async t => {
  const { near, farSink } = start()
  const memory = Uint8Array.of(1, 2, 3)
  await new Promise<void>(resolve => { near.write(memory, resolve) })
  memory.fill(9)
  t.strictSame([...farSink.content()], [1, 2, 3])
})

t.test('split by number goes across writes', async t => {
  const { nearWriter, farSink } = start({ split: 3 })
  nearWriter.write(pattern(2))
  nearWriter.write(pattern(3, 2))
  nearWriter.write(new Uint8Array(0))
  nearWriter.write(pattern(2, 5))
  await Promise.all([farSink.received(7), nearWriter.settled()])
  t.strictSame(farSink.chunks.map(chunk => chunk.length), [3, 3, 1])
  t.ok(farSink.content().equals(pattern(7)))
  t.ok(nearWriter.isClean)
})

t.test('a split that answers nonsense is kept within bounds', async t => {
  const answers = [0, -5, 1.5, 1e9]
  const { nearWriter, farSink } = start({ split: () => answers.shift() ?? 1 })
  nearWriter.write(pattern(10))
  await farSink.received(10)
  t.strictSame(farSink.chunks.map(chunk => chunk.length), [1, 1, 1, 7])
})

t.test('delivers nothing before the end of the clock\'s turn, and never inside write', async t => {
  const clock = new FakeClock({ turns: 'manual' })
  const { nearWriter, nearSink, farSink, far } = start({ clock })
  let depth = 0
  farSink.whenData = chunk => {
    t.equal(depth++, 0)
    far.write(chunk, () => {})
    depth--
  }
  nearWriter.write(pattern(5))
  await quiet(() => 0, 3)
  t.equal(farSink.bytes, 0)
  clock.endTurn()
  t.equal(farSink.bytes, 5)
  t.equal(nearSink.bytes, 5)
})

t.test('waits for the sinks of both sides', async t => {
  const [near, far] = memoryPair({ remoteAddress: '192.0.2.1' })
  t.equal(near.remoteAddress, '192.0.2.1')
  const writer = new Writer(near)
  writer.write(pattern(5))
  near.close()
  await quiet(() => writer.order.length, 5)
  t.equal(writer.order.length, 0)
  const farSink = new Recorder()
  far.start(farSink)
  await farSink.received(5)
  t.strictSame(farSink.closes, [], 'the near side was not started and cannot take our end')
  const nearSink = new Recorder()
  near.start(nearSink)
  await Promise.all([nearSink.closed(), farSink.closed()])
  t.strictSame([nearSink.closes, farSink.closes], [[undefined], [undefined]])
})
