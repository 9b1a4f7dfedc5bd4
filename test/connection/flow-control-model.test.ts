// Our client against our server, overheard by an auditor who knows only the frames: whatever windows, sizes, readers and
// ends are mixed, nobody spends what was not granted, nothing granted gets lost, and everything comes to its end.
import fc from 'fast-check'
import t from 'tap'
import { Client } from '../../lib/client/client.js'
import { RpcError } from '../../lib/errors.js'
import { BiDirHandler, RecvHandler, SendHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { memoryPair } from '../../lib/transport/memory.js'
import type { HandlerContext } from '../../types/handler-context.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { settle, turn, until } from '../helpers/scripted-peer.js'
import { WireTap } from '../helpers/wire-tap.js'

interface Plan {
  kind: 'sync' | 'biDir' | 'send' | 'recv'
  /** Sizes of the messages of each direction. */
  up: number[]
  down: number[]
  /** Turns of the event loop that each reader takes for each message. */
  slowServer: number
  slowClient: number
  /** How it ends: by itself, or by somebody who gives up after so many turns. */
  end: { by: 'itself' | 'client' | 'handler' | 'break', turns: number }
}

const size = fc.oneof(fc.nat({ max: 200 }), fc.nat({ max: 70_000 }), fc.integer({ min: 100_000, max: 400_000 }))
const slowness = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 30 }) })
const plan: fc.Arbitrary<Plan> = fc.record({
  kind: fc.constantFrom('sync', 'biDir', 'send', 'recv'),
  up: fc.array(size, { maxLength: 6 }),
  down: fc.array(size, { maxLength: 6 }),
  slowServer: slowness,
  slowClient: slowness,
  end: fc.record({ by: fc.constantFrom('itself', 'itself', 'itself', 'client', 'handler', 'break'), turns: fc.nat({ max: 40 }) })
})

const scenario = fc.record({
  windows: fc.tuple(fc.integer({ min: 128 * 1024, max: 400_000 }), fc.integer({ min: 128 * 1024, max: 400_000 })),
  grows: fc.boolean(),
  places: fc.integer({ min: 2, max: 4 }),
  split: fc.option(fc.integer({ min: 500, max: 70_000 }), { nil: undefined }),
  requests: fc.integer({ min: 1, max: 8 }),
  plans: fc.array(plan, { minLength: 1, maxLength: 8 })
})

const turns = async (count: number): Promise<void> => { for (let i = 0; i < count; i++) await turn() }

/** Content that shows a byte that is missing, doubled or out of place. */
function content (length: number, seed: number): Uint8Array {
  return new Uint8Array(length).map((_, at) => (seed * 31 + at * 7 + (at >>> 8)) & 0xff)
}

/** Reads all messages, each as slowly as said; answers what was wrong with them. */
async function read (messages: AsyncIterable<Uint8Array>, sizes: number[], slow: number): Promise<void> {
  let i = 0
  for await (const bytes of messages) {
    const wanted = content(sizes[i] ?? -1, i)
    if (Buffer.compare(bytes, wanted) !== 0) throw new Error(`message ${i} of ${wanted.byteLength} bytes is wrong`)
    i++
    if (slow > 0) await turns(slow)
  }
  if (i !== sizes.length) throw new Error(`${i} of ${sizes.length} messages came`)
}

async function write (stream: { send (bytes: Uint8Array): Promise<void> }, sizes: number[]): Promise<void> {
  for (const [i, length] of sizes.entries()) await stream.send(content(length, i))
}

/** The plan of a call, which its metadata name. */
const planOf = (plans: Plan[], context: HandlerContext): Plan => plans[Number(context.metadata.get('plan'))] as Plan

/** A handler that gives up when its plan says so. */
async function obeying (plan: Plan, run: () => Promise<void>): Promise<void> {
  if (plan.end.by !== 'handler') return await run()
  const running = run()
  running.catch(() => {})
  await turns(plan.end.turns)
  throw new RpcError(10, 'the handler gave up')
}

function register (server: Server, plans: Plan[]): void {
  server.register('p', 'S', 'sync', new SyncHandler(async (context, request) => {
    const plan = planOf(plans, context)
    await turns(plan.slowServer)
    if (plan.end.by === 'handler') throw new RpcError(10, 'the handler gave up')
    const at = Number(context.metadata.get('at'))
    if (Buffer.compare(request, content(plan.up[at] ?? -1, at)) !== 0) throw new Error('wrong request')
    return content(plan.down[at] ?? 0, at)
  }))
  server.register('p', 'S', 'biDir', new BiDirHandler(async (context, stream) => {
    const plan = planOf(plans, context)
    await obeying(plan, async () => { await Promise.all([write(stream, plan.down), read(stream.recv(), plan.up, plan.slowServer)]) })
  }))
  server.register('p', 'S', 'send', new SendHandler(async (context, stream) => {
    const plan = planOf(plans, context)
    await obeying(plan, async () => { await read(stream.recv(), plan.up, plan.slowServer) })
    return content(plan.down[0] ?? 0, 0)
  }))
  server.register('p', 'S', 'recv', new RecvHandler(async (context, stream) => {
    const plan = planOf(plans, context)
    await obeying(plan, async () => { await write(stream, plan.down) })
  }))
}

/** Plays one plan; rejects with what was wrong, which giving up is not. */
async function play (client: Client, plan: Plan, at: number): Promise<void> {
  const metadata = { plan: String(at) }
  const controller = new AbortController()
  const { signal } = controller
  let done = false
  const givingUp = plan.end.by === 'client' ? turns(plan.end.turns).then(() => { if (!done) controller.abort() }) : Promise.resolve()
  try {
    if (plan.kind === 'sync') {
      await Promise.all(plan.up.map(async (length, i) => {
        const answer = await client.sync('p', 'S', 'sync').call(content(length, i), { signal, metadata: { ...metadata, at: String(i) } })
        if (Buffer.compare(answer, content(plan.down[i] ?? 0, i)) !== 0) throw new Error('wrong answer')
      }))
    } else if (plan.kind === 'biDir') {
      const stream = client.biDir('p', 'S', 'biDir', { signal, metadata })
      const writing = write(stream, plan.up).then(() => { stream.closeSend() })
      await Promise.all([writing, read(stream.recv(), plan.down, plan.slowClient)])
    } else if (plan.kind === 'send') {
      const stream = client.send('p', 'S', 'send', { signal, metadata })
      await write(stream, plan.up)
      const answer = await stream.close()
      if (Buffer.compare(answer, content(plan.down[0] ?? 0, 0)) !== 0) throw new Error('wrong answer')
    } else {
      const stream = client.recv('p', 'S', 'recv', { signal, metadata })
      if (plan.end.by === 'break') {
        for await (const bytes of stream) if (bytes.byteLength >= 0) break
      } else await read(stream, plan.down, plan.slowClient)
    }
  } catch (error) {
    const isExpected = RpcError.is(error) && ((plan.end.by === 'client' && error.category === 1) || (plan.end.by === 'handler' && error.category === 10))
    if (!isExpected) throw error
  } finally {
    done = true
    await givingUp
  }
}

t.test('any mix of calls', { timeout: 180_000 }, async t => {
  let frames = 0
  let chunked = 0
  await fc.assert(fc.asyncProperty(scenario, async ({ windows, grows, places, split, requests, plans }) => {
    const clock = new FakeClock()
    const growth = grows ? {} : { maxWindowBytes: 0 }
    const server = new Server({ windowBytes: windows[0], reassemblyPlaces: places, maxRequestsPerConnection: requests, keepAliveIntervalMs: 0, ...growth }, { clock })
    register(server, plans)
    const tap = new WireTap()
    const [here, there] = memoryPair(split === undefined ? {} : { split })
    const conn = server.connect(here)
    const client = new Client(tap.overhear(there), { windowBytes: windows[1], keepAliveIntervalMs: 0, ...growth }, clock)
    const outcomes: { error?: Error, done: boolean }[] = plans.map(() => ({ done: false }))
    plans.forEach((plan, at) => {
      const outcome = outcomes[at] as { error?: Error, done: boolean }
      play(client, plan, at).then(() => { outcome.done = true }, (error: Error) => { Object.assign(outcome, { error, done: true }) })
    })
    await until(() => outcomes.every(({ done }) => done), 'the end of all calls')
    for (const { error } of outcomes) if (error !== undefined) throw error
    await until(() => server.stats().running === 0, 'the end of all handlers')
    await settle(5)
    if (tap.complaints.length > 0) throw new Error(tap.complaints.join('\n'))

    // Of sessions that still live, everything was taken: what is not returned is less than half a window.
    for (const [id, { closed, client: up, server: down }] of tap.sessions) {
      if (closed) continue
      for (const book of [up, down]) {
        const isWhole = grows ? book.credit > book.window / 2 : book.spent - book.returned < book.window / 2 && book.credit + book.spent - book.returned === book.window
        if (!isWhole) throw new Error(`session ${id} lost credit: ${JSON.stringify(book)}`)
      }
    }
    for (const session of conn.connection.sessions) {
      const book = tap.sessions.get(session.id)?.client
      if (book?.credit !== session.peerCredit) throw new Error('the books differ')
    }
    if (server.stats().queued !== 0 || client.running !== 0) throw new Error('something is left')
    frames += tap.frames.get(4) ?? 0
    chunked += plans.filter(({ up, down }) => [...up, ...down].some((length) => length > 100_000)).length
    await client.close()
    await conn.closed
    if (clock.pendingTimers !== 0) throw new Error(`${clock.pendingTimers} timers are left`)
  }), { numRuns: 80, endOnFailure: false })
  t.comment(`${frames} payload frames, ${chunked} calls with large messages`)
  t.ok(frames > 1000 && chunked > 20, 'and they did something')
})
