/** `npm run bench [-- filter]`: the wire and the dispatch of calls in one process, as a table of time per message. */
import { bench, run } from 'mitata'
import { addDispatch } from './dispatch.js'
import { addWire } from './wire.js'

const [filter] = process.argv.slice(2)
const matches = filter === undefined ? undefined : new RegExp(filter)

/** Messages of one run, by the name of the measurement. */
const messages = new Map<string, number>()

function add (name: string, count: number, measured: () => unknown): void {
  if (matches?.test(name) === false) return
  messages.set(name, count)
  bench(name, measured)
}

const checkWire = addWire(add)
const checkDispatch = await addDispatch(add)
if (messages.size === 0) throw new Error(`nothing is called ${filter}`)

console.log(`Node ${process.version}; nanoseconds for each message or call\n`)
console.log(`${'what'.padEnd(56)}${'median'.padStart(10)}${'best'.padStart(10)}${'p99'.padStart(10)}${'a second'.padStart(12)}`)
const { benchmarks } = await run({ format: 'quiet' })
for (const { alias, runs } of benchmarks) {
  const count = messages.get(alias) ?? 1
  for (const { stats, error } of runs) {
    if (stats === undefined) throw new Error(`${alias} failed`, { cause: error })
    const of = (nanoseconds: number): string => (nanoseconds / count).toFixed(nanoseconds / count < 100 ? 1 : 0).padStart(10)
    console.log(`${alias.padEnd(56)}${of(stats.p50)}${of(stats.min)}${of(stats.p99)}${Math.round(count / stats.p50 * 1e9).toLocaleString('en').padStart(12)}`)
  }
}
const isAll = filter === undefined
if (isAll) checkWire()
await checkDispatch().catch((error: unknown) => { if (isAll) throw error })
