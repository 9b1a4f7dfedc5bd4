// test/package: what `npm pack` makes, installed and used. Apart from the unit tests, because it needs a registry and time.
import { runTap } from './tap-run.mjs'
import { testFiles } from './test-files.mjs'

const options = ['--disable-coverage', '--jobs=1', '--timeout=300', '--exclude=node_modules/**']
const { code } = await runTap('package', [...options, ...testFiles('test/package')])
process.exitCode = code
