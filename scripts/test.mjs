// npm run test:unit [-- files or tap options]: everything in test/ that needs neither a browser nor another language.
// Run without arguments it also leaves .tap/report/coverage-summary.json for scripts/coverage-floor.mjs.
import { runTap } from './tap-run.mjs'

const args = process.argv.slice(2)
const { code } = await runTap('unit', args.length > 0 ? ['--disable-coverage', ...args] : ['--coverage-report=json-summary'])
process.exitCode = code
