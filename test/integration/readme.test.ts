// The quick start of README.md does what it says; its page is tried in test/browser/readme.test.ts.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Program } from '../helpers/program.js'
import { codeOf, readme, startQuickStart } from '../helpers/readme.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

t.test('the quick start', async (t) => {
  const { folder, server, url } = await startQuickStart(t)
  t.equal(await (await fetch(`${url}/greet/REST`)).text(), 'Hello, REST!')
  t.match(await (await fetch(url)).text(), 'src="/page.js"')
  t.equal(await (await fetch(`${url}/page.js`)).text(), readFileSync(join(folder, 'page.js'), 'utf8'))

  const client = new Program(t, 'client.mjs', [`${url.replace('http', 'ws')}/rpc`], { cwd: folder })
  const { lines, code } = await client.end()
  t.equal(code, 0, client.errors)
  t.equal(lines.join('\n') + '\n', codeOf('client.mjs', 'text'), 'prints what the README says')

  server.kill('SIGINT')
  t.same(await server.end(), { lines: [], code: 0, signal: null })
})

t.test('its links lead somewhere', (t) => {
  for (const [, target = ''] of readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) t.ok(existsSync(join(root, target)), target)
  t.end()
})
