// Writes docs/options.md from the table in lib/options.ts (built first). `--check` only compares.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { optionsDoc } = await import(join(root, 'dist', 'lib', 'options.js'))
const path = join(root, 'docs', 'options.md')
const text = optionsDoc()

if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (readFileSync(path, 'utf8') !== text) {
  console.error('docs/options.md is not what lib/options.ts says: run `npm run docs:options`')
  process.exitCode = 1
}
