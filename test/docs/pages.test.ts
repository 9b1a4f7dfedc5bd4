// The programs in the docs run as they stand and print what the docs say. They use the build, as a reader does.
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const docs = new URL('../../docs/', import.meta.url)

let programs = 0
for (const page of readdirSync(docs).filter((name) => name.endsWith('.md'))) {
  const text = readFileSync(new URL(page, docs), 'utf8')
  for (const [, program, output] of text.matchAll(/```js run\n(.*?)```\s+```text output\n(.*?)```/gs)) {
    if (program === undefined || output === undefined) throw new Error(`${page}: half a program`)
    programs++
    t.test(`docs/${page}`, async (t) => {
      const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: root, timeout: 60_000 })
      t.equal(stdout, output)
    })
  }
}
t.ok(programs >= 4, `${programs} programs in the docs`)
