/**
 * npm run bench:system: fastify-claw beside a raw `ws` echo and other libraries, server and client in processes of
 * their own. Options and method: benchmark/README.md. Progress on stderr, tables on stdout.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chooseCells } from './cells.mjs'
import { canPin } from './child.mjs'
import { toMarkdown, writeInto } from './report.mjs'
import { Runner } from './runner.mjs'
import { OURS, chooseSystems, missingPackages } from './systems.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
const ROOT = join(HERE, '..', '..')

const USAGE = `npm run bench:system -- [options]
  --quick            a rough picture in less than two minutes
  --rounds N         rounds (5; quick 2)
  --ms N             milliseconds of one measurement (600; quick 100)
  --only a,b         cells or groups of cells: u16c1 ... bd4k, unary, stream, conn, stall, hol
  --systems a,b      systems; raw-ws is always measured
  --json FILE        where the numbers go (benchmark/results.json)
  --markdown FILE    also writes the tables between the marks of this file
  --from FILE        measures nothing: makes the tables of these numbers
  --no-pin           leaves the processes where the system puts them
  --no-build         takes dist as it is
  --no-install       does not install the other libraries`

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    ms: { type: 'string' },
    only: { type: 'string' },
    systems: { type: 'string' },
    json: { type: 'string', default: join(ROOT, 'benchmark', 'results.json') },
    markdown: { type: 'string' },
    from: { type: 'string' },
    'no-pin': { type: 'boolean', default: false },
    'no-build': { type: 'boolean', default: false },
    'no-install': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})

const isQuick = values.quick
const settings = {
  rounds: number('rounds', isQuick ? 2 : 5),
  ms: number('ms', isQuick ? 100 : 600),
  warmMs: isQuick ? 30 : 300,
  /** How long a stream is to take, and what the warm-up is multiplied with. */
  streamMs: isQuick ? 100 : 500,
  warm: isQuick ? 0.2 : 1,
  connections: isQuick ? 300 : 2000,
  timedConnections: isQuick ? 200 : 1000,
  /** Rounds of what takes long and varies little: connections, stalled readers. */
  slowRounds: isQuick ? 1 : 3,
  isPinned: canPin && !values['no-pin']
}

const startedAt = Date.now()
const log = (text) => { console.error(`[${((Date.now() - startedAt) / 1000).toFixed(0).padStart(4)} s] ${text}`) }

if (values.help) console.log(USAGE)
else if (values.from !== undefined) publish(JSON.parse(readFileSync(resolve(values.from), 'utf8')))
else await main()

function number (name, fallback) {
  const value = values[name] === undefined ? fallback : Number(values[name])
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} wants a whole number above 0`)
  return value
}

function list (text) { return text?.split(',').map((name) => name.trim()).filter((name) => name !== '') }

function publish (results) {
  const markdown = toMarkdown(results)
  console.log(markdown)
  if (values.markdown !== undefined) writeInto(resolve(values.markdown), markdown)
}

async function main () {
  const cells = chooseCells(list(values.only))
  const wanted = chooseSystems(list(values.systems))
  if (!values['no-build']) build()
  if (!values['no-install']) install(wanted)
  const absent = missingPackages(wanted)
  const isThere = (system) => !system.packages.some((name) => absent.includes(name))

  const results = {
    meta: {
      date: new Date().toISOString(),
      node: process.version,
      cpu: cpus()[0]?.model.trim(),
      cores: cpus().length,
      load: loadavg()[0],
      isQuick,
      ...settings
    },
    systems: {},
    missing: wanted.filter((system) => !isThere(system)).map(({ id }) => id),
    failed: []
  }
  for (const id of results.missing) log(`${id} is not installed and left out`)

  const hot = await openSystems(wanted.filter(isThere), results)
  try {
    const of = (group) => cells.filter((cell) => cell.group === group)
    const hotCells = [...of('unary'), ...of('stream'), ...of('hol')]
    if (hotCells.length > 0) {
      log('warm-up')
      for (const runner of hot) for (const cell of hotCells) await runner.warmUp(cell)
      for (let round = 0; round < settings.rounds; round++) {
        log(`round ${round + 1} of ${settings.rounds}`)
        for (const cell of hotCells) for (const runner of rotated(hot, round)) await runner.measure(cell, round)
      }
    }
    for (const runner of hot) await runner.close()
    const coldCells = [...of('conn'), ...of('stall')]
    for (let round = 0; round < settings.slowRounds; round++) {
      for (const cell of coldCells) {
        log(`${cell.title}, round ${round + 1} of ${settings.slowRounds}`)
        for (const runner of rotated(hot, round)) await runner.measureCold(cell, round)
      }
    }
  } finally {
    for (const runner of hot) await runner.close()
  }
  results.meta.seconds = Math.round((Date.now() - startedAt) / 1000)
  writeFileSync(resolve(values.json), `${JSON.stringify(results, undefined, 1)}\n`)
  publish(results)
  log(`done; the numbers are in ${values.json}`)
  if (results.failed.some(({ system }) => system.startsWith(OURS))) process.exitCode = 1
}

/** Another order each round, so that nobody always runs after the same neighbour. */
function rotated (runners, round) { return runners.map((_, i) => runners[(i + round * 5) % runners.length]) }

function build () {
  log('build')
  const { status } = spawnSync(process.execPath, [join(ROOT, 'scripts', 'build.mjs')], { cwd: ROOT, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error('the build failed; --no-build takes dist as it is')
}

function install (wanted) {
  const absent = missingPackages(wanted)
  if (absent.length === 0) return
  log(`installing what is compared with in benchmark/system (once, not part of the project): ${absent.join(' ')}`)
  // npm tells the scripts it runs where it was called; that would install into the project.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(config_local_prefix|config_prefix|package_|lifecycle_)/.test(name)))
  const { status, error } = spawnSync('npm', ['install', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: HERE, env, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  if (status !== 0) log(`npm install failed (${error?.message ?? `status ${status}`}); going on without`)
}

async function openSystems (systems, results) {
  const runners = []
  for (const system of systems) {
    const runner = new Runner(system, results, settings, log)
    if (await runner.open()) runners.push(runner)
  }
  return runners
}
