/** What every transport does, whatever is beneath. Each adapter's test runs it over its own pair. */
import { Recorder, Writer, pattern, quiet } from './recorder.js'
import { RpcError } from '../../lib/errors.js'
import type { Test } from 'tap'
import type { Transport } from '../../types/transport.js'

/** Two connected transports, not started. */
export interface Pair {
  near: Transport
  far: Transport
  /** The far machine loses its connection in the rudest way there is. */
  breakFar: () => void
  /** What is still there after both have ended: listeners, timers. Waited for, then compared with nothing. */
  leftovers: () => Promise<string[]>
}

export interface SuiteOptions {
  /** Opens a pair; closes what it opened in `t.teardown`. */
  open: (t: Test) => Promise<Pair>
  /** Whether the peer of a destroyed transport can tell that from an orderly end. A FIN is a FIN. */
  tellsDestroyFromEnd?: boolean
}

const MiB = 1024 * 1024

export function transportSuite (t: Test, { open, tellsDestroyFromEnd = true }: SuiteOptions): void {
  async function start (t: Test) {
    const pair = await open(t)
    const nearSink = new Recorder()
    const farSink = new Recorder()
    pair.near.start(nearSink)
    pair.far.start(farSink)
    return { ...pair, nearSink, farSink, nearWriter: new Writer(pair.near), farWriter: new Writer(pair.far) }
  }

  t.test('bytes arrive in order, both ways, and each done comes once', async t => {
    const { nearSink, farSink, nearWriter, farWriter, near } = await start(t)
    const sizes = [1, 0, 2, 125, 126, 65535, 65536, 1000, 3, 200_000]
    let at = 0
    for (const size of sizes) {
      nearWriter.write(pattern(size, at))
      farWriter.write(pattern(size, at))
      at += size
    }
    await Promise.all([nearSink.received(at), farSink.received(at), nearWriter.settled(), farWriter.settled()])
    t.ok(nearSink.content().equals(pattern(at)), 'far to near')
    t.ok(farSink.content().equals(pattern(at)), 'near to far')
    t.ok(nearWriter.isClean && farWriter.isClean, 'done once, in order, never inside write')
    near.destroy()
  })

  t.test('several megabytes, memory used again after done', async t => {
    const { farSink, near } = await start(t)
    const total = 8 * MiB
    const memory = Buffer.alloc(48 * 1024)
    let at = 0
    const next = (): void => {
      if (at >= total) return
      const size = Math.min(memory.length, total - at)
      pattern(size, at).copy(memory)
      at += size
      near.write(memory.subarray(0, size), next)
    }
    next()
    await farSink.received(total)
    t.ok(farSink.content().equals(pattern(total)))
    near.destroy()
  })

  t.test('a reader that pauses stops the writer, and one that resumes lets it go on', async t => {
    const { far, farSink, near, nearWriter } = await start(t)
    far.pause()
    const chunk = pattern(64 * 1024)
    for (let i = 0; i < 512; i++) nearWriter.write(chunk) // 32 MiB, more than the buffers of two sockets
    await quiet(() => nearWriter.order.length + farSink.bytes)
    t.ok(nearWriter.order.length < 512, `${nearWriter.order.length} of 512 writes were taken while the reader was paused`)
    t.ok(farSink.bytes <= 256 * 1024, 'what was on its way may still arrive, no more')
    far.resume()
    await Promise.all([farSink.received(512 * chunk.length), nearWriter.settled()])
    t.ok(nearWriter.isClean)
    near.destroy()
  })

  t.test('close delivers what was written first and ends both sides without an error', async t => {
    const { near, nearSink, nearWriter, farSink, leftovers } = await start(t)
    const bytes = pattern(3 * MiB)
    for (let at = 0; at < bytes.length; at += 64 * 1024) nearWriter.write(bytes.subarray(at, at + 64 * 1024))
    near.close(1000, 'done')
    near.close()
    await Promise.all([nearSink.closed(), farSink.closed()])
    t.ok(farSink.content().equals(bytes))
    t.strictSame([nearSink.closes, farSink.closes], [[undefined], [undefined]])
    await nearWriter.settled()
    t.ok(nearWriter.isClean)
    t.strictSame(await leftovers(), [])
  })

  t.test('the far side may close as well, also both at once', async t => {
    const { near, far, nearSink, farSink, leftovers } = await start(t)
    far.close(1001)
    near.close()
    await Promise.all([nearSink.closed(), farSink.closed()])
    t.strictSame([nearSink.closes, farSink.closes], [[undefined], [undefined]])
    t.strictSame(await leftovers(), [])
  })

  t.test('destroy is over at once, with its error, and never re-entrant', async t => {
    const { near, far, nearSink, farSink, nearWriter, leftovers } = await start(t)
    far.pause()
    for (let i = 0; i < 256; i++) nearWriter.write(pattern(64 * 1024))
    const error = new Error('enough')
    near.destroy(error)
    near.destroy(new Error('again'))
    t.strictSame(nearSink.closes, [], 'not inside destroy')
    await nearSink.closed()
    far.resume()
    await Promise.all([nearWriter.settled(), farSink.closed()])
    t.equal(nearSink.closes[0], error)
    t.ok(nearWriter.isClean, 'also what was lost is settled')
    if (tellsDestroyFromEnd) t.ok(farSink.closes[0] instanceof RpcError)
    await quiet(() => nearSink.closes.length + farSink.closes.length, 10)
    t.equal(nearSink.closes.length + farSink.closes.length, 2)
    t.strictSame(await leftovers(), [])
  })

  t.test('destroy while data is being delivered: nothing follows', async t => {
    const { near, nearSink, farWriter, farSink, leftovers } = await start(t)
    nearSink.whenData = () => { near.destroy() }
    for (let i = 0; i < 10; i++) farWriter.write(pattern(10))
    await Promise.all([nearSink.closed(), farSink.closed()])
    t.equal(nearSink.chunks.length, 1)
    t.strictSame(nearSink.closes, [undefined])
    t.strictSame(await leftovers(), [])
  })

  t.test('the end of a transport that was never started is told to whoever starts it', async t => {
    const { near, far } = await open(t)
    const sink = new Recorder()
    const error = new Error('too soon')
    near.destroy(error)
    await quiet(() => 0, 3)
    near.start(sink)
    await sink.closed()
    t.strictSame(sink.closes, [error])
    far.destroy()
  })

  t.test('a lost peer is one onClose with an error that calls can fail with', async t => {
    const { nearSink, nearWriter, breakFar, leftovers } = await start(t)
    nearWriter.write(pattern(100))
    breakFar()
    await nearSink.closed()
    const error = nearSink.closes[0]
    t.ok(RpcError.is(error))
    t.match(error, { code: 'CLAW_ERR_CONNECTION_LOST', category: 14 })
    await nearWriter.settled()
    t.ok(nearWriter.isClean)
    t.equal(nearSink.closes.length, 1)
    t.strictSame(await leftovers(), [])
  })

  t.test('a write after the end only calls done, later', async t => {
    const { near, nearSink, farSink, nearWriter } = await start(t)
    near.close()
    nearWriter.write(pattern(10))
    await nearWriter.settled()
    await nearSink.closed()
    nearWriter.write(pattern(10))
    near.close()
    near.destroy()
    near.pause()
    near.resume()
    near.ping?.()
    await nearWriter.settled()
    t.ok(nearWriter.isClean)
    await farSink.closed()
    t.equal(farSink.bytes, 0)
    t.equal(nearSink.closes.length, 1)
  })

  t.test('after the peer has closed, a write only calls done', async t => {
    const { far, nearSink, nearWriter } = await start(t)
    far.close()
    await nearSink.closed()
    nearWriter.write(pattern(10))
    await nearWriter.settled()
    t.ok(nearWriter.isClean)
    t.strictSame(nearSink.closes, [undefined])
  })
}
