// Our client against our server over a network that a random plan drives, frame by frame, in simulated time. A model made
// from the protocol's text hears every frame twice, when it is written and when it arrives; whatever windows, sizes,
// readers, cancels, deadlines and ends are mixed: no sender exceeds its credit, no credit is lost, nothing hangs, and
// what arrives is what was sent. CLAW_RUNS=5000 plays more plans, CLAW_SEED and CLAW_PATH play one again.
import fc from 'fast-check'
import t from 'tap'
import type { Plan, Step } from '../helpers/credit-plan.js'
import { CreditScenario } from '../helpers/credit-scenario.js'
import type { CallPlan, MessagePlan, Pace } from '../helpers/planned-call.js'

const KIB = 1024
const { CLAW_RUNS, CLAW_SEED, CLAW_PATH } = process.env

const often = <T>(value: T, arbitrary: fc.Arbitrary<T>, weight = 2): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: fc.constant(value) }, { weight: 1, arbitrary })

const message: fc.Arbitrary<MessagePlan> = fc.record({
  bytes: fc.oneof(
    { weight: 3, arbitrary: fc.nat({ max: 300 }) },
    { weight: 3, arbitrary: fc.nat({ max: 70 * KIB }) },
    // Around the largest chunk, and around half the smallest window with what stands beside.
    { weight: 1, arbitrary: fc.integer({ min: 64 * KIB - 300, max: 64 * KIB + 300 }) },
    { weight: 3, arbitrary: fc.integer({ min: 90 * KIB, max: 400 * KIB }) }
  ),
  metadata: often(0, fc.nat({ max: 15 * KIB }), 5),
  awaits: fc.boolean()
})
const messages = fc.array(message, { maxLength: 8, size: 'max' })
const pace: fc.Arbitrary<Pace> = fc.constantFrom('free', 'steps')

const calls = {
  startAt: fc.nat({ max: 10 }),
  timeoutMs: often<number | undefined>(undefined, fc.integer({ min: 1, max: 1500 }), 4)
}
const anyCall: fc.Arbitrary<CallPlan> = fc.record({
  ...calls,
  kind: fc.constantFrom('sync', 'biDir', 'send', 'recv'),
  up: messages,
  down: messages,
  paces: fc.record({ clientRead: pace, clientWrite: pace, serverRead: pace, serverWrite: pace }),
  isEcho: fc.boolean(),
  breakAfter: often<number | undefined>(undefined, fc.nat({ max: 3 }), 4)
})
/** More than fits, all at once, and slow readers. */
const flood = fc.array(fc.record({
  bytes: fc.oneof(fc.integer({ min: 20 * KIB, max: 63 * KIB }), fc.integer({ min: 64 * KIB, max: 400 * KIB })),
  metadata: fc.constant(0),
  awaits: fc.constant(false)
}), { minLength: 1, maxLength: 6, size: 'max' })
const chokedCall: fc.Arbitrary<CallPlan> = fc.record({
  ...calls,
  kind: fc.constantFrom('sync', 'biDir', 'send', 'recv'),
  up: flood,
  down: flood,
  paces: fc.record({ clientRead: fc.constant('steps' as const), clientWrite: fc.constant('free' as const), serverRead: fc.constant('steps' as const), serverWrite: fc.constant('free' as const) }),
  isEcho: fc.constant(false),
  breakAfter: fc.constant(undefined)
})
const call = fc.oneof({ weight: 2, arbitrary: anyCall }, { weight: 1, arbitrary: chokedCall })

const which = fc.nat({ max: 5 })
const side = fc.constantFrom('client' as const, 'server' as const)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deliver' as const), from: side, piece: fc.oneof(fc.constantFrom('frame' as const, 'write' as const), fc.integer({ min: 1, max: 70 * KIB })), times: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('flow' as const), turns: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pass' as const), call: which, gate: fc.constantFrom('clientRead' as const, 'clientWrite' as const, 'serverRead' as const, 'serverWrite' as const), times: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 300 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('abort' as const), call: which, nth: fc.nat({ max: 7 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('endHandler' as const), call: which, how: fc.constantFrom('return' as const, 'throw' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rest' as const) }) }
)

const window = fc.oneof(
  { weight: 4, arbitrary: fc.constant(128 * KIB) },
  { weight: 3, arbitrary: fc.integer({ min: 128 * KIB, max: 200 * KIB }) },
  { weight: 1, arbitrary: fc.integer({ min: 200 * KIB, max: 600 * KIB }) },
  { weight: 1, arbitrary: fc.constant(2 ** 31 - 1) }
)
const maxWindow = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 200 * KIB, max: 4096 * KIB }) })

const plan: fc.Arbitrary<Plan> = fc.record({
  windows: fc.record({ client: window, server: window }),
  maxWindows: fc.record({ client: maxWindow, server: maxWindow }),
  places: fc.integer({ min: 2, max: 4 }),
  maxRequests: often(1024, fc.integer({ min: 1, max: 4 }), 1),
  maxRuns: often(0, fc.integer({ min: 1, max: 5 })),
  socketBytes: fc.constantFrom(0, 0, 64 * KIB, 1024 * KIB),
  isPacking: often(false, fc.constant(true), 7),
  compression: often<Plan['compression']>('none', fc.constantFrom('now', 'later'), 5),
  calls: fc.array(call, { minLength: 1, maxLength: 6, size: 'max' }),
  steps: fc.array(step, { maxLength: 80, size: 'max' }),
  ending: fc.record({ how: fc.constantFrom('close', 'close', 'drain', 'shutdown', 'shutdown', 'forcedShutdown', 'forcedShutdown', 'serverClose', 'cut'), at: often(1000, fc.nat({ max: 60 }), 1) })
})

// Beyond what a run takes: a failure has to be shrunk too. An hour is for who asks for many.
t.setTimeout(CLAW_RUNS === undefined ? 240_000 : 3_600_000)

t.test('any plan of up to six calls', { timeout: CLAW_RUNS === undefined ? 200_000 : 3_500_000 }, async (t) => {
  const seen = new Map<string, number>()
  const runs = CLAW_PATH === undefined ? Number(CLAW_RUNS ?? 150) : 1
  await fc.assert(fc.asyncProperty(plan, async (plan) => {
    const scenario = new CreditScenario(plan)
    await scenario.run()
    for (const [what, count] of scenario.model.seen) seen.set(what, (seen.get(what) ?? 0) + count)
  }), {
    numRuns: runs,
    // Its bias is toward small values, of which these plans have enough.
    unbiased: true,
    interruptAfterTimeLimit: CLAW_RUNS === undefined ? 150_000 : 3_400_000,
    ...(CLAW_SEED === undefined ? {} : { seed: Number(CLAW_SEED) }),
    ...(CLAW_PATH === undefined ? {} : { path: CLAW_PATH })
  })
  t.comment([...seen].map(([what, count]) => `${what} ${count}`).join(', '))
  if (CLAW_PATH !== undefined) return
  for (const what of ['Payload', 'More', 'WindowUpdate', 'early', 'growth', 'First', 'Cancel', 'Close', 'GoAway', 'ErrCode', 'rest', 'blocked', 'places']) {
    t.ok((seen.get(what) ?? 0) > 2, `${what} was among it`)
  }
})

t.test('plans that it has found', async (t) => {
  const free = { clientRead: 'free', clientWrite: 'free', serverRead: 'free', serverWrite: 'free' } as const
  const sync: CallPlan = { kind: 'sync', startAt: 0, up: [], down: [], paces: free, isEcho: false, timeoutMs: undefined, breakAfter: undefined }
  const small: Plan = {
    windows: { client: 128 * KIB, server: 128 * KIB },
    maxWindows: { client: 0, server: 0 },
    places: 2,
    maxRequests: 1024,
    maxRuns: 0,
    socketBytes: 0,
    isPacking: false,
    compression: 'none',
    calls: [],
    steps: [],
    ending: { how: 'close', at: 1000 }
  }
  const deliver = (from: 'client' | 'server', times = 1): Step => ({ do: 'deliver', from, piece: from === 'client' ? 'frame' : 'write', times })
  const pause: Step = { do: 'advance', ms: 1 }
  const of = (...bytes: number[]): MessagePlan[] => bytes.map((bytes) => ({ bytes, metadata: 0, awaits: false }))
  const play = async (plan: Partial<Plan>): Promise<void> => { await new CreditScenario({ ...small, ...plan }).run() }

  await t.test('an answer that is cut while its session drains still gets its ErrCode', async () => {
    await play({
      calls: [{ ...sync, up: of(1), down: of(131_073) }],
      steps: [pause, deliver('client'), pause, pause, pause, pause],
      ending: { how: 'forcedShutdown', at: 2 }
    })
  })

  await t.test('a request that crosses GoAway and is started is answered before the Close', async () => {
    await play({
      socketBytes: 1024 * KIB,
      calls: [{ ...sync, up: of(20, 100), down: of(300_000, 100), paces: { ...free, serverRead: 'steps' } }],
      steps: [{ do: 'pass', call: 0, gate: 'serverRead', times: 1 }, deliver('client'), deliver('server', 6), deliver('client'), { do: 'flow', turns: 8 }],
      ending: { how: 'shutdown', at: 3 }
    })
  })

  await t.test('calls that wait for their turn do not keep the places that running streams need', async () => {
    const stream: CallPlan = { ...sync, kind: 'biDir', up: of(131_000) }
    await play({ maxRuns: 2, calls: [{ ...sync, up: of(65_537) }, stream, stream] })
  })
})
