// What npm would publish, from its own tarball: the metadata, an install into an empty folder, one call from an ES
// module and one from CommonJS, and the types. Needs a registry for fastify, ws and the package's dependencies.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))
const here = fileURLToPath(new URL('.', import.meta.url))
const run = promisify(execFile)
// Without the loader and the coverage that the tests themselves run with, and without what npm tells its scripts.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_OPTIONS|NODE_V8_COVERAGE|TAP|npm_)/i.test(name)))
const bin = (name: string): string => join(root, 'node_modules', '.bin', name)

const folder = mkdtempSync(join(tmpdir(), 'fastify-claw-'))
t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
const { stdout } = await run('npm', ['pack', '--json', '--silent', '--pack-destination', folder], { cwd: root, env })
// The build, which npm runs first, may have said something before the list.
const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string, files: { path: string }[] }]
const tarball = join(folder, filename)

t.test('holds what it must and nothing else', async (t) => {
  const paths = files.map(({ path }) => path)
  const expected = /^(docs\/[^/]+\.md$|dist\/(lib|types)\/|lib\/|types\/|(README|CHANGELOG)\.md$|LICENSE$|package\.json$)/
  t.strictSame(paths.filter((path) => !expected.test(path) || /\.test\./.test(path)), [])
  for (const path of ['dist/lib/index.js', 'dist/lib/index.d.ts', 'dist/lib/client/index.js', 'dist/types/fastify.d.ts', 'LICENSE']) t.ok(paths.includes(path), path)
})

t.test('publint has nothing to say', async (t) => {
  await t.resolves(run(bin('publint'), ['--strict', tarball], { cwd: root, env }))
})

t.test('the types are found by whoever imports', async (t) => {
  await t.resolves(run(bin('attw'), [tarball, '--profile', 'esm-only'], { cwd: root, env }))
})

t.test('installed', async (t) => {
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { devDependencies: Record<string, string> }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const wanted = [tarball, ...['fastify', 'ws'].map((name) => `${name}@${devDependencies[name] ?? ''}`)]
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock', ...wanted], { cwd: folder, env })

  for (const [file, answer] of [['serve.mjs', 'hello from ESM'], ['serve.cjs', 'hello from CommonJS']] as const) {
    cpSync(join(here, file), join(folder, file))
    const { stdout, stderr } = await run(process.execPath, [file], { cwd: folder, env, timeout: 20_000 })
    t.equal(stdout.trim(), answer)
    t.notMatch(stderr, /\bError\b/, stderr)
  }

  cpSync(join(here, 'types.ts.txt'), join(folder, 'program.ts'))
  const compilerOptions = {
    target: 'es2022',
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
    typeRoots: [join(root, 'node_modules', '@types')],
    types: ['node']
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }))
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
  const { stdout } = await run(process.execPath, [tsc, '-p', folder], { cwd: folder, env }).catch((error: unknown) => error as { stdout: string })
  t.equal(stdout, '', 'a program in TypeScript compiles, declarations checked')
})
