import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex, duplexPair } from 'node:stream'
import t from 'tap'
import { Recorder, Writer, pattern, quiet } from './recorder.js'
import { transportSuite } from './transport-suite.js'
import { duplexTransport } from '../../lib/transport/duplex.js'
import type { ListenOptions, Socket } from 'node:net'
import type { Test } from 'tap'
import type { Pair } from './transport-suite.js'

const OURS = ['data', 'end', 'finish', 'error', 'close']

/** How many listeners a stream has of the kinds that a transport attaches. */
function count (stream: Duplex): number[] {
  return OURS.map(name => stream.listenerCount(name))
}

async function closed (stream: Duplex): Promise<void> {
  if (!stream.closed) await once(stream, 'close')
}

async function sockets (t: Test, options: ListenOptions): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true })
  server.listen(options)
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const address = server.address()
  if (address === null) throw new Error('not listening')
  const client = typeof address === 'string' ? connect(address) : connect(address.port, address.address)
  const [[accepted]] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, once(client, 'connect')])
  t.teardown(() => {
    client.destroy()
    accepted.destroy()
  })
  return [client, accepted]
}

function pairOf (one: Duplex, other: Duplex, breakFar: () => void, theirs: string[] = []): Pair {
  const before = [count(one), count(other)]
  return {
    near: duplexTransport(one),
    far: duplexTransport(other),
    breakFar,
    async leftovers () {
      await Promise.all([closed(one), closed(other)])
      await quiet(() => 0, 2) // Node takes its own listeners away while it closes
      return [one, other].flatMap((stream, at) => count(stream).flatMap((listeners, kind) => {
        const name = OURS[kind] ?? ''
        return listeners > (before[at]?.[kind] ?? 0) && !theirs.includes(name) ? [`${listeners} ${name}`] : []
      }))
    }
  }
}

t.test('TCP', t => {
  transportSuite(t, {
    async open (t) {
      const [one, other] = await sockets(t, { port: 0, host: '127.0.0.1' })
      return pairOf(one, other, () => { other.resetAndDestroy() })
    },
    tellsDestroyFromEnd: false
  })
  t.end()
})

t.test('Unix socket', { skip: process.platform === 'win32' }, t => {
  let next = 0
  transportSuite(t, {
    async open (t) {
      const [one, other] = await sockets(t, { path: join(tmpdir(), `claw-${process.pid}-${next++}.sock`) })
      // A Unix socket knows no reset but an end with bytes unread, which is a race here; so what that looks like.
      return pairOf(one, other, () => { one.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })) })
    },
    tellsDestroyFromEnd: false
  })
  t.end()
})

t.test('a pair of streams', t => {
  transportSuite(t, {
    async open () {
      const [one, other] = duplexPair()
      // The two know of each other's end only; a stream's failure is its own.
      one.on('close', () => { other.destroy() })
      other.on('close', () => { one.destroy() })
      return pairOf(one, other, () => { other.destroy() }, ['end']) // the pair itself listens for its end
    }
  })
  t.end()
})

t.test('remoteAddress is the socket\'s own, or what is said', async t => {
  const [one, other] = await sockets(t, { port: 0, host: '127.0.0.1' })
  t.equal(duplexTransport(one).remoteAddress, '127.0.0.1')
  t.equal(duplexTransport(other, { remoteAddress: '192.0.2.7' }).remoteAddress, '192.0.2.7')
  t.equal(duplexTransport(duplexPair()[0]).remoteAddress, undefined)
})

t.test('a half-open peer gets what was written, then our end', async t => {
  const [one, other] = await sockets(t, { port: 0, host: '127.0.0.1' })
  const sink = new Recorder()
  const near = duplexTransport(one)
  near.start(sink)
  const writer = new Writer(near)
  const bytes = pattern(4 * 1024 * 1024)
  writer.write(bytes)
  other.end('bye')
  const got: Buffer[] = []
  for await (const chunk of other) got.push(chunk as Buffer)
  t.ok(Buffer.concat(got).equals(bytes))
  await sink.closed()
  t.equal(sink.content().toString(), 'bye')
  t.strictSame(sink.closes, [undefined])
  t.ok(writer.isClean)
})

t.test('a stream that never calls back, never closes and does not destroy itself still ends', async t => {
  const stream = new Duplex({ autoDestroy: false, emitClose: false, read () {}, write () {} })
  const near = duplexTransport(stream)
  const sink = new Recorder()
  near.start(sink)
  const writer = new Writer(near)
  writer.write(pattern(1))
  writer.write(pattern(2))
  near.destroy()
  await Promise.all([sink.closed(), writer.settled()])
  t.ok(writer.isClean)
  t.ok(stream.destroyed)
})

t.test('a stream that fails is destroyed and its error is the cause', async t => {
  const failure = new Error('broken pipe')
  const stream = new Duplex({ autoDestroy: false, read () {}, write (_chunk, _encoding, done) { done(failure) } })
  const near = duplexTransport(stream)
  const sink = new Recorder()
  near.start(sink)
  const writer = new Writer(near)
  writer.write(pattern(1))
  await Promise.all([sink.closed(), writer.settled()])
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST', cause: failure }])
  t.ok(stream.destroyed)
})

t.test('a stream that has ended before is read to its end and ended', async t => {
  const [one, other] = duplexPair()
  other.end()
  one.resume()
  await once(one, 'end')
  const sink = new Recorder()
  duplexTransport(one).start(sink)
  other.resume()
  await sink.closed()
  t.strictSame(sink.closes, [undefined])
})

t.test('a stream that was destroyed before is a lost one', async t => {
  const [one] = duplexPair()
  one.destroy()
  const sink = new Recorder()
  duplexTransport(one).start(sink)
  await sink.closed()
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST' }])
})

t.test('an error before start ends no process and is reported', async t => {
  const [one] = duplexPair()
  const near = duplexTransport(one)
  const failure = new Error('early')
  one.destroy(failure)
  await quiet(() => 0, 3)
  const sink = new Recorder()
  near.start(sink)
  await sink.closed()
  t.match(sink.closes, [{ cause: failure }])
})
