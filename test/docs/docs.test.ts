// The docs say what the code says: options from the table, a line for every error code and the other way round.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Category, ErrorCode, categoryErrorCode } from '../../lib/errors.js'

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')

t.test('docs/options.md is made from the table', (t) => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const { status, stderr } = spawnSync(process.execPath, ['--import', './scripts/ts-loader.mjs', 'scripts/options-doc.mjs', '--check'], { cwd: root, encoding: 'utf8' })
  t.equal(status, 0, stderr)
  t.end()
})

t.test('docs/errors.md has a line for every code, and no other', (t) => {
  const documented = new Set([...read('errors.md').matchAll(/^\| `(CLAW_ERR_\w+)` \|/gm)].map(([, code]) => code))
  const categories = Object.values(Category).filter((category) => category !== Category.OK).map((category) => categoryErrorCode(category))
  const codes = new Set<string | undefined>([...Object.values(ErrorCode), ...categories])
  t.strictSame([...codes].filter((code) => !documented.has(code)), [], 'codes without a line')
  t.strictSame([...documented].filter((code) => !codes.has(code)), [], 'lines without a code')
  t.end()
})
