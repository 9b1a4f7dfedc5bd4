/**
 * Where the time of one cell goes: node benchmark/profile.mjs u16c64 [--side client] [--system fastify-claw] [--ms 4000]
 * Runs the cell until it is warm, then under V8's profiler (as --cpu-prof, but without start and warm-up), and prints
 * the functions that took most themselves. The profile is kept for the browser's developer tools.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chooseCells } from './system/cells.mjs'
import { openPair } from './system/child.mjs'
import { OURS, SYSTEMS } from './system/systems.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))

const { values, positionals: [name] } = parseArgs({
  allowPositionals: true,
  options: {
    side: { type: 'string', default: 'server' },
    system: { type: 'string', default: OURS },
    ms: { type: 'string', default: '4000' },
    top: { type: 'string', default: '30' },
    out: { type: 'string' }
  }
})
const { side } = values
const ms = Number(values.ms)
const system = SYSTEMS.find(({ id }) => id.toLowerCase() === values.system.toLowerCase())
if (name === undefined || system === undefined || (side !== 'server' && side !== 'client')) {
  throw new Error('node benchmark/profile.mjs CELL [--side server|client] [--system NAME] [--ms N] [--top N] [--out FILE]')
}
const [cell] = chooseCells([name])
if (cell.group === 'conn' || cell.group === 'stall') throw new Error(`${cell.id} is not a cell that takes time`)
const out = resolve(values.out ?? join(HERE, 'profiles', `${cell.id}-${side}.cpuprofile`))
mkdirSync(dirname(out), { recursive: true })

const pair = await openPair(system, { isHot: true, isPinned: true })
try {
  const { client, port } = pair
  await client.ask('connect', { port })
  await client.ask('verify')
  const { run, count } = await warmUp()
  await pair[side].ask('profile')
  const measured = await run(ms, count)
  await pair[side].ask('profile', { path: out })
  print(measured)
} finally {
  await pair.end()
}

/** Answers how to run the cell for some time: streams are as long as their number of messages. */
async function warmUp () {
  const { client } = pair
  const timeout = ms * 10 + 60_000
  if (cell.group !== 'stream') {
    const command = cell.group === 'unary' ? 'unary' : 'callsBeside'
    const run = (time) => client.ask(command, { ...cell, ms: time, warmMs: 0, timeout })
    await run(1500)
    return { run }
  }
  let count = 1000
  for (const time of [300, 1200, ms]) {
    const { rate } = await client.ask('stream', { ...cell, count })
    count = Math.max(1000, Math.round(rate * time / 1000))
  }
  return { run: () => client.ask('stream', { ...cell, count, timeout }), count }
}

function print ({ rate, clientCpu, n }) {
  if (rate !== undefined) {
    console.log(`${system.id}, ${cell.title}: ${Math.round(rate).toLocaleString('en')} a second; CPU for each ${(pair.serverCpu / n).toFixed(2)} us server, ${clientCpu.toFixed(2)} us client (one of them under the profiler)`)
  }
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(out, 'utf8'))
  const functions = new Map(nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
    const place = url === '' ? '' : ` ${url.replace(/^.*\/(dist|node_modules|benchmark)\//, '$1/')}:${lineNumber + 1}`
    return [id, `${functionName || '(anonymous)'}${place}`]
  }))
  const self = new Map()
  samples.forEach((node, i) => {
    const key = functions.get(node)
    self.set(key, (self.get(key) ?? 0) + timeDeltas[i])
  })
  const total = [...self.values()].reduce((sum, time) => sum + time, 0)
  console.log(`\nself time of the ${side}, ${(total / 1000).toFixed(0)} ms:`)
  for (const [key, time] of [...self].sort(([, a], [, b]) => b - a).slice(0, Number(values.top))) {
    console.log(`${(time / total * 100).toFixed(1).padStart(6)} %  ${key}`)
  }
  console.log(`\n${out}`)
}
