/** The quick start of README.md as files of a reader: its programs in a folder, the page bundled, the server running. */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Test } from 'tap'
import { Program } from './program.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** README.md. */
export const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** The block of code that begins with three backticks, the language and the name; there must be exactly one. */
export function codeOf (name: string, language = 'js'): string {
  const blocks = [...readme.matchAll(/^```(\S+) (\S+)\n(.*?)^```$/gms)].filter((block) => block[1] === language && block[2] === name)
  const [block] = blocks
  if (block === undefined || blocks.length > 1) throw new Error(`${blocks.length} blocks of ${language} named ${name}`)
  return block[3] ?? ''
}

/** Lays the files out and starts the server on a free port. */
export async function startQuickStart (t: Test): Promise<{ folder: string, server: Program, url: string }> {
  const folder = t.testdir({ node_modules: {} })
  for (const name of ['fastify', 'ws']) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  symlinkSync(root, join(folder, 'node_modules', 'fastify-claw'))
  for (const name of ['server.mjs', 'page.mjs', 'client.mjs']) writeFileSync(join(folder, name), codeOf(name))
  await build({ entryPoints: [join(folder, 'page.mjs')], bundle: true, format: 'esm', outfile: join(folder, 'page.js'), logLevel: 'error' })

  const server = new Program(t, 'server.mjs', [], { cwd: folder, env: { PORT: '0' } })
  const line = await server.line()
  const [, url] = /^listening on (http:\S+)$/.exec(line) ?? []
  if (url === undefined) throw new Error(`the server says: ${line}`)
  return { folder, server, url }
}
