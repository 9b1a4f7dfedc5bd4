// test/browser/*.test.ts in a real Chromium, which reaches them as CHROMIUM_PATH. Without one they are skipped loudly,
// or, with CLAW_REQUIRE_BROWSER=1, that is a failure.
import { findChromium } from './find-chromium.mjs'
import { runTap } from './tap-run.mjs'
import { testFiles } from './test-files.mjs'

const files = testFiles('test/browser')
const chromium = findChromium()
const required = process.env.CLAW_REQUIRE_BROWSER === '1'

if (chromium === undefined) {
  const asked = process.env.CHROMIUM_PATH ? ` (CHROMIUM_PATH=${process.env.CHROMIUM_PATH} is not executable)` : ''
  console.error(`\n!!! NO CHROMIUM FOUND${asked}: the ${files.length} browser test file(s) were NOT RUN !!!`)
  console.error('!!! Install chromium or set CHROMIUM_PATH to run them. !!!\n')
  process.exitCode = required ? 1 : 0
} else if (files.length === 0) {
  console.error('\n!!! test/browser has no test files yet: nothing was run in the browser !!!\n')
} else {
  console.log(`browser: ${chromium}`)
  const options = ['--disable-coverage', '--jobs=1', '--timeout=120', '--exclude=node_modules/**']
  const { code } = await runTap('browser', [...options, ...files], { CHROMIUM_PATH: chromium })
  process.exitCode = code
}
