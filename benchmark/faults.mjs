/**
 * npm run bench:faults: what healthy streams notice while others attack the same server. Server, healthy and attackers
 * in processes of their own. Method: benchmark/README.md. Progress on stderr, the table on stdout.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Bench, HEALTHY } from './faults/bench.mjs'
import { ATTACKS } from './faults/list.mjs'
import { answersText, memoryText, phaseTable } from './faults/report.mjs'
import { canPin } from './system/child.mjs'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')

const USAGE = `npm run bench:faults -- [options]
  --seconds N        how long each attack lasts (3)
  --only a,b         attacks: ${ATTACKS.map(({ name }) => name).join(' ')}
  --all              also those left out otherwise: ${ATTACKS.filter(({ isExtra }) => isExtra).map(({ name }) => name).join(' ')}
  --width N          peers that do the same at a time (4)
  --json FILE        where the numbers go
  --profile FOLDER   also a CPU profile of the server for each attack
  --no-pin           leaves the processes where the system puts them
  --no-build         takes dist as it is`

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    only: { type: 'string' },
    all: { type: 'boolean', default: false },
    width: { type: 'string', default: '4' },
    json: { type: 'string' },
    profile: { type: 'string' },
    'no-pin': { type: 'boolean', default: false },
    'no-build': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

const startedAt = Date.now()
const log = (text) => { console.error(`[${((Date.now() - startedAt) / 1000).toFixed(0).padStart(4)} s] ${text}`) }

if (values.help) console.log(USAGE)
else await main()

async function main () {
  const attacks = chooseAttacks()
  const ms = number('seconds') * 1000
  if (!values['no-build'] && spawnSync('npm', ['run', '-s', 'build'], { cwd: ROOT, stdio: ['ignore', 2, 2] }).status !== 0) throw new Error('the build failed')
  const isPinned = canPin && !values['no-pin']
  const bench = new Bench({ isPinned, width: Math.ceil(number('width')), profiles: values.profile === undefined ? undefined : resolve(values.profile), log })
  try {
    await bench.open()
    await bench.run(attacks, ms)
  } catch (error) {
    bench.problems.push(error.message)
  } finally {
    await bench.end()
  }
  const { phases, memory, drain, problems } = bench
  const meta = { date: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model.trim(), cores: cpus().length, load: loadavg()[0], isPinned, width: bench.width, seconds: ms / 1000, healthy: HEALTHY }
  console.log([phaseTable(phases), answersText(phases), memoryText(memory, drain)].join('\n\n'))
  if (values.json !== undefined) writeFileSync(resolve(values.json), JSON.stringify({ meta, phases, memory, drain, problems }, undefined, 2))
  for (const problem of problems) console.error(`faults: ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}

function chooseAttacks () {
  const names = values.only?.split(',')
  const unknown = names?.find((name) => !ATTACKS.some((attack) => attack.name === name))
  if (unknown !== undefined) throw new Error(`no attack ${unknown}\n${USAGE}`)
  return ATTACKS.filter(({ name, isExtra }) => names === undefined ? values.all || isExtra !== true : names.includes(name))
}

function number (name) {
  const value = Number(values[name])
  if (!(value > 0 && value < 1e6)) throw new Error(`--${name} wants a number above 0`)
  return value
}
