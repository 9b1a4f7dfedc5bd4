// Checks everything with Node's types, then the client alone with a browser's (once there is a client).
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
const projects = ['tsconfig.json']
if (existsSync(join(root, 'lib', 'client', 'index.ts'))) projects.push('tsconfig.client.json')

for (const project of projects) {
  const { status } = spawnSync(process.execPath, [tsc, '-p', project], { cwd: root, stdio: 'inherit' })
  if (status !== 0) {
    console.error(`typecheck: ${project} failed`)
    process.exitCode = 1
  }
}
