// Our client against our server over a network that a random plan drives, frame by frame, in simulated time. A model made
// from the protocol's text hears every frame twice, when it is written and when it arrives; whatever windows, sizes,
// readers, cancels, deadlines and ends are mixed: no sender exceeds its credit, no credit is lost, nothing hangs, and
// what arrives is what was sent. CLAW_RUNS=5000 plays more plans, CLAW_SEED and CLAW_PATH play one again.
import fc from 'fast-check'
import t from 'tap'
import { CreditScenario } from '../helpers/credit-scenario.js'
import type { Plan, Step } from '../helpers/credit-scenario.js'
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
const flood = fc.array(fc.record({ bytes: fc.integer({ min: 50 * KIB, max: 400 * KIB }), metadata: fc.constant(0), awaits: fc.constant(false) }), { minLength: 1, maxLength: 4, size: 'max' })
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
  places: fc.integer({ min: 1, max: 4 }),
  maxRequests: often(1024, fc.integer({ min: 1, max: 4 }), 1),
  socketBytes: fc.constantFrom(0, 0, 64 * KIB, 1024 * KIB),
  isPacking: often(false, fc.constant(true), 7),
  compression: often<Plan['compression']>('none', fc.constantFrom('now', 'later'), 5),
  calls: fc.array(call, { minLength: 1, maxLength: 6, size: 'max' }),
  steps: fc.array(step, { maxLength: 80, size: 'max' }),
  ending: fc.record({ how: fc.constantFrom('close', 'close', 'drain', 'shutdown', 'forcedShutdown', 'serverClose', 'cut'), at: often(1000, fc.nat({ max: 60 }), 1) })
})

if (CLAW_RUNS !== undefined) t.setTimeout(0)

t.test('any plan of up to six calls', { timeout: 3_600_000 }, async (t) => {
  const seen = new Map<string, number>()
  const runs = Number(CLAW_RUNS ?? 150)
  await fc.assert(fc.asyncProperty(plan, async (plan) => {
    const scenario = new CreditScenario(plan)
    await scenario.run()
    for (const [what, count] of scenario.model.seen) seen.set(what, (seen.get(what) ?? 0) + count)
  }), {
    numRuns: runs,
    unbiased: true,
    ...(process.env['CLAW_NOSHRINK'] === undefined ? {} : { endOnFailure: true }),
    ...(CLAW_SEED === undefined ? {} : { seed: Number(CLAW_SEED) }),
    ...(CLAW_PATH === undefined ? {} : { path: CLAW_PATH })
  })
  t.comment([...seen].map(([what, count]) => `${what} ${count}`).join(', '))
  if (CLAW_PATH !== undefined) return
  for (const what of ['Payload', 'More', 'WindowUpdate', 'early', 'growth', 'First', 'Cancel', 'Close', 'GoAway', 'ErrCode', 'rest', 'blocked', 'places']) {
    t.ok((seen.get(what) ?? 0) > runs / 50, `${what} was among it`)
  }
})
