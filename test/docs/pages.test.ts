// The programs in the docs run as they stand and print what the docs say. They use the build, as a reader does.
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const docs = new URL('../../docs/', import.meta.url)

/** Pages whose reader is to see it run. */
const MUST_RUN = ['bidirectional.md', 'client-stream.md', 'interceptors.md', 'server-stream.md', 'sync.md']

const programs = new Map<string, number>()
for (const page of readdirSync(docs).filter((name) => name.endsWith('.md'))) {
  const text = readFileSync(new URL(page, docs), 'utf8')
  for (const [, program, output] of text.matchAll(/```js run\n(.*?)```\s+```text output\n(.*?)```/gs)) {
    if (program === undefined || output === undefined) throw new Error(`${page}: half a program`)
    programs.set(page, (programs.get(page) ?? 0) + 1)
    t.test(`docs/${page}`, async (t) => {
      const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: root, timeout: 60_000 })
      t.equal(stdout, output)
    })
  }
  t.equal(programs.get(page) ?? 0, text.match(/^```js run$/gm)?.length ?? 0, `each program of docs/${page} has its output`)
}
t.strictSame(MUST_RUN.filter((page) => !programs.has(page)), [])
