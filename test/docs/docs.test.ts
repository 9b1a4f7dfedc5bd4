// The docs say what the code says: options from the table, a line for every error code and the other way round. What they
// refer to is there.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Category, ErrorCode, categoryErrorCode } from '../../lib/errors.js'
import { PLUGIN_OPTIONS, SERVER_OPTIONS } from '../../lib/options.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')

t.test('docs/options.md is made from the table', (t) => {
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

/** The files below a folder that people write, by their paths from the root. */
function filesIn (folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => /\.(md|mjs|js|ts|go)$/.test(path) && !path.startsWith(join('docs', 'api')) && !path.includes('node_modules'))
}

/** The text without its blocks of code. */
const prose = (text: string): string => text.replace(/^```.*?^```/gms, '')

const pages = ['README.md', 'CHANGELOG.md', ...filesIn('docs'), ...filesIn('test').filter((path) => path.endsWith('.md'))]

t.test('every page of the docs that is mentioned anywhere exists', (t) => {
  const missing: string[] = []
  for (const path of [...pages, 'package.json', ...['lib', 'types', 'test', 'scripts', 'example'].flatMap(filesIn)]) {
    for (const [mention] of readFileSync(join(root, path), 'utf8').matchAll(/\bdocs\/[\w.-]+\.md\b/g)) {
      if (!existsSync(join(root, mention))) missing.push(`${mention} in ${path}`)
    }
  }
  t.strictSame(missing, [])
  t.end()
})

t.test('every link from one file to another leads somewhere, and every page is linked to', (t) => {
  const missing: string[] = []
  const linked = new Set<string>()
  for (const path of pages) {
    for (const [, target = '', anchor = ''] of prose(readFileSync(join(root, path), 'utf8')).matchAll(/\]\((?![a-z]+:)([^)#\s]*)(#[^)]*)?\)/g)) {
      const found = target === '' ? path : join(dirname(path), target)
      linked.add(found)
      if (!existsSync(join(root, found))) missing.push(`${target} in ${path}`)
      else if (anchor !== '' && !anchorsOf(found).has(anchor)) missing.push(`${target}${anchor} in ${path}`)
    }
    for (const [, target = ''] of prose(readFileSync(join(root, path), 'utf8')).matchAll(/`((?:test|lib|types|example|scripts|benchmark)\/[\w./-]+)`/g)) {
      if (!existsSync(join(root, target))) missing.push(`${target} in ${path}`)
    }
  }
  t.strictSame(missing, [])
  t.strictSame(readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md') && !linked.has(join('docs', name))), [], 'pages nobody finds')
  t.end()
})

/** What can stand behind the # of a link to the page. */
function anchorsOf (path: string): Set<string> {
  const headings = prose(readFileSync(join(root, path), 'utf8')).matchAll(/^#+ (.*)$/gm)
  return new Set(Array.from(headings, ([, heading = '']) => '#' + heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')))
}

t.test('every option that the docs speak of is one', (t) => {
  // `maxPayload` is an option of @fastify/websocket.
  const known = new Set([...Object.keys(SERVER_OPTIONS), ...Object.keys(PLUGIN_OPTIONS), 'maxPayload'])
  const unknown: string[] = []
  for (const name of ['security.md', 'lifecycle.md', 'interceptors.md']) {
    for (const [, option = ''] of read(name).matchAll(/`((?:max|min|allowed)[A-Z]\w*|\w+(?:Ms|Bytes|Places|Interceptors))`/g)) if (!known.has(option)) unknown.push(`${option} in ${name}`)
  }
  t.strictSame(unknown, [])
  t.end()
})

t.test('docs/security.md speaks of every limit that can be set', (t) => {
  const page = read('security.md')
  const limits = Object.entries(SERVER_OPTIONS).filter(([name, spec]) => spec.kind === 'integer' && /^max|Timeout|Interval|^recvBuffer|Places$|^window/.test(name)).map(([name]) => name)
  t.strictSame(limits.filter((name) => !page.includes('`' + name + '`') && !page.includes(`${name}:`)), [])
  t.end()
})
