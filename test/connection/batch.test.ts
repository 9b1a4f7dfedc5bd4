// One write a turn, room for 128 KiB, turns in a circle.
import t from 'tap'
import { Batch, MAX_UNSENT_BYTES } from '../../lib/connection/batch.js'
import type { TurnTaker } from '../../lib/connection/batch.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import type { Message, Payload } from '../../lib/wire/message.js'
import type { Transport } from '../../types/transport.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { msg } from '../helpers/scripted-peer.js'

function setUp (): { clock: FakeClock, batch: Batch, writes: Uint8Array[], taken: () => void, messages: () => Message[] } {
  const clock = new FakeClock({ turns: 'manual' })
  const writes: Uint8Array[] = []
  const owed: (() => void)[] = []
  const transport: Transport = {
    start () {},
    pause () {},
    resume () {},
    close () {},
    destroy () {},
    write (chunk, done) {
      writes.push(new Uint8Array(chunk))
      owed.push(done)
    }
  }
  const messages = (packed = false): Message[] => {
    const found: Message[] = []
    const reader = new MessageReader({ maxFrameBytes: 1 << 24, onMessage: (message) => { found.push(message) } })
    reader.acceptPacked = packed
    for (const write of writes) reader.push(new Uint8Array(write))
    return found
  }
  return { clock, batch: new Batch(transport, clock), writes, taken: () => { owed.shift()?.() }, messages }
}

/** Writes payloads of this size, so many times. */
function talker (batch: Batch, sessionID: number, count: number, bytes: number, log: number[] = []): TurnTaker {
  let left = count
  return {
    writeTurn () {
      left--
      log.push(sessionID)
      batch.writePayload(sessionID, 0, new Uint8Array(bytes), 0, bytes, false, 0, [], false)
      return left > 0
    }
  }
}

t.test('everything of a turn is one write', t => {
  const { clock, batch, writes, messages } = setUp()
  batch.writeMessage(msg.ping(1))
  batch.writePayload(3, 0, new Uint8Array(10), 0, 10, false, 0, [], false)
  batch.writeMessage(msg.ping(2))
  t.equal(writes.length, 0, 'not before the turn ends')
  clock.endTurn()
  t.equal(writes.length, 1)
  t.same(messages().map((message) => message.type), [6, 4, 6], 'in order')
  t.equal(batch.sentBytes, writes[0]?.length)
  clock.endTurn()
  t.equal(writes.length, 1, 'an empty turn writes nothing')
  t.end()
})

t.test('room ends at 128 KiB and comes back when the transport has taken', t => {
  const { clock, batch, taken } = setUp()
  t.ok(batch.hasRoom)
  batch.writePayload(1, 0, new Uint8Array(MAX_UNSENT_BYTES), 0, MAX_UNSENT_BYTES, false, 0, [], false)
  t.notOk(batch.hasRoom)
  clock.endTurn()
  t.notOk(batch.hasRoom, 'handed over is not taken')
  taken()
  t.ok(batch.hasRoom)
  t.equal(batch.unsentBytes, 0)
  t.end()
})

t.test('those who wait take turns, one chunk each', t => {
  const { clock, batch } = setUp()
  const log: number[] = []
  batch.schedule(talker(batch, 1, 3, 1000, log))
  batch.schedule(talker(batch, 2, 1, 1000, log))
  batch.schedule(talker(batch, 3, 2, 1000, log))
  clock.endTurn()
  t.same(log, [1, 2, 3, 1, 3, 1])
  t.end()
})

t.test('turns stop when there is no room, and go on where they were', t => {
  const { clock, batch, taken } = setUp()
  const log: number[] = []
  for (const id of [1, 2, 3, 4]) batch.schedule(talker(batch, id, 2, 64 * 1024, log))
  clock.endTurn()
  t.same(log, [1, 2], '128 KiB')
  clock.endTurn()
  t.same(log, [1, 2])
  for (let turns = 3; turns <= 8; turns++) {
    taken()
    clock.endTurn()
    t.equal(log.length, turns, 'each piece that is taken makes room for the next')
  }
  t.same(log, [1, 2, 3, 4, 1, 2, 3, 4])
  t.end()
})

t.test('control messages need no room', t => {
  const { clock, batch, writes } = setUp()
  batch.writePayload(1, 0, new Uint8Array(MAX_UNSENT_BYTES), 0, MAX_UNSENT_BYTES, false, 0, [], false)
  clock.endTurn()
  batch.writeMessage(msg.pong(1))
  clock.endTurn()
  t.equal(writes.length, 2)
  t.end()
})

t.test('replies are counted until they are taken, nothing else is', t => {
  const { clock, batch, taken, writes } = setUp()
  batch.writeMessage(msg.ping(1))
  batch.writeMessage(msg.pong(1), true)
  t.equal(batch.unsentReplyBytes, 0, 'this turn is not the fault of the peer')
  clock.endTurn()
  const bytes = batch.unsentReplyBytes
  t.equal(bytes, (writes[0]?.length ?? 0) / 2)
  batch.writeMessage(msg.pong(2), true)
  clock.endTurn()
  t.equal(batch.unsentReplyBytes, 2 * bytes)
  taken()
  t.equal(batch.unsentReplyBytes, bytes)
  taken()
  t.equal(batch.unsentReplyBytes, 0)
  t.end()
})

t.test('stalled is a transport that was given something and took nothing', t => {
  const { clock, batch, taken } = setUp()
  clock.advance(100_000)
  t.notOk(batch.isStalled(clock.now(), 60_000))
  batch.writeMessage(msg.ping(1))
  t.notOk(batch.isStalled(clock.now(), 60_000), 'what was only just said was not given yet')
  clock.endTurn()
  clock.advance(60_000)
  t.notOk(batch.isStalled(clock.now(), 60_000))
  clock.advance(1)
  t.ok(batch.isStalled(clock.now(), 60_000))
  batch.writeMessage(msg.ping(2))
  clock.endTurn()
  t.ok(batch.isStalled(clock.now(), 60_000), 'more to take is no progress')
  taken()
  t.notOk(batch.isStalled(clock.now(), 60_000))
  t.end()
})

t.test('packs from the next frame on', t => {
  const { clock, batch, writes } = setUp()
  batch.writeMessage(msg.ping(1))
  clock.endTurn()
  batch.startPacking()
  batch.writeMessage(msg.ping(1))
  batch.writePayload(1, 0, new Uint8Array(1000), 0, 1000, false, 0, [], false)
  clock.endTurn()
  t.equal(writes.length, 2)
  t.ok((writes[1]?.length ?? 0) < 100, 'a thousand zeros are few bytes')
  const found: Message[] = []
  const reader = new MessageReader({ maxFrameBytes: 1 << 20, onMessage: (message) => { found.push(message) } })
  reader.acceptPacked = true
  reader.push(new Uint8Array(Buffer.concat(writes)))
  t.same(found.map((message) => message.type), [6, 6, 4])
  t.equal((found[2] as Payload).payload.byteLength, 1000)
  t.end()
})

t.test('after close nothing is said', t => {
  const { clock, batch, writes } = setUp()
  batch.writeMessage(msg.ping(1))
  batch.schedule({ writeTurn: () => { t.fail('no turn'); return false } })
  batch.close()
  batch.writeMessage(msg.ping(2))
  batch.schedule({ writeTurn: () => { t.fail('no turn'); return false } })
  clock.endTurn()
  t.equal(writes.length, 0)
  t.end()
})

t.test('flush hands over at once, turns before what was said', t => {
  const { clock, batch, writes } = setUp()
  batch.writeMessage(msg.goAway())
  batch.flush()
  t.equal(writes.length, 1)
  clock.endTurn()
  t.equal(writes.length, 1)
  t.end()
})
