// test/interop/*.test.ts: this implementation against the one in Go, which the tests themselves build and start.
import { spawnSync } from 'node:child_process'
import { runTap } from './tap-run.mjs'
import { testFiles } from './test-files.mjs'

const files = testFiles('test/interop')
const go = spawnSync('go', ['version'], { encoding: 'utf8' })

if (files.length === 0) {
  console.error('\n!!! test/interop has no test files: interop tests SKIPPED !!!\n')
} else if (go.status !== 0) {
  console.error('\n!!! Go not found: interop tests SKIPPED !!!\n')
} else {
  console.log(`interop: ${go.stdout.trim()}`)
  const options = ['--disable-coverage', '--jobs=1', '--timeout=300', '--exclude=node_modules/**']
  const { code } = await runTap('interop', [...options, ...files])
  process.exitCode = code
}
