// Fails when the coverage of lib/ by the last full `npm run test:unit` is below coverage-floor.json. The numbers there
// are only ever raised. Files no test loads are listed, for they have no numbers.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const summaryFile = join(root, '.tap', 'report', 'coverage-summary.json')
const KINDS = ['lines', 'branches', 'functions']

if (existsSync(summaryFile)) {
  checkFloor()
} else {
  console.error(`coverage: no ${relative(root, summaryFile)}; run \`npm run test:unit\` (without arguments) first`)
  process.exitCode = 1
}

function checkFloor () {
  const floor = JSON.parse(readFileSync(join(root, 'coverage-floor.json'), 'utf8'))
  const files = new Map(Object.entries(JSON.parse(readFileSync(summaryFile, 'utf8')))
    .map(([file, numbers]) => [relative(root, file), numbers])
    .filter(([file]) => file.startsWith('lib/')))

  for (const [file, numbers] of [...files].sort(([a], [b]) => a < b ? -1 : 1)) {
    if (KINDS.some(kind => numbers[kind].pct < 100)) {
      console.log(`  ${file.padEnd(44)} ${KINDS.map(kind => `${kind} ${numbers[kind].pct}`).join('  ')}`)
    }
  }

  const unloaded = readdirSync(join(root, 'lib'), { recursive: true })
    .map(file => join('lib', file))
    .filter(file => file.endsWith('.ts') && !files.has(file))
  if (unloaded.length > 0) console.log(`  loaded by no test (or only types): ${unloaded.join(', ')}`)

  for (const kind of KINDS) {
    let total = 0
    let covered = 0
    for (const numbers of files.values()) {
      total += numbers[kind].total
      covered += numbers[kind].covered
    }
    const percent = total === 0 ? 100 : Math.floor(10000 * covered / total) / 100
    const fell = percent < floor[kind]
    console.log(`coverage ${kind}: ${percent}% (${covered}/${total}), floor ${floor[kind]}%${fell ? ' -- TOO LOW' : ''}`)
    if (fell) process.exitCode = 1
  }
}
