// Writes docs/options.md from the table in lib/options.ts; run with --import ./scripts/ts-loader.mjs. `--check` only compares.
import { readFileSync, writeFileSync } from 'node:fs'
import { PLUGIN_OPTIONS, SERVER_OPTIONS } from '../lib/options.ts'

const SECTIONS = [
  ['Options of the server', 'Of `new Server(options)` and of `app.register(rpc, options)`. The defaults are meant to be safe on the public internet.', SERVER_OPTIONS],
  ['Options of the plugin', 'Of `app.register(rpc, options)` only.', PLUGIN_OPTIONS]
]

function shownDefault (spec) {
  if (spec.kind !== 'integer') return `\`${JSON.stringify(spec.default)}\``
  return spec.default.toLocaleString('en-US') + (spec.unit === undefined ? '' : ` ${spec.unit}`)
}

function values (spec) {
  switch (spec.kind) {
    case 'integer': return `${spec.min.toLocaleString('en-US')} to ${spec.max.toLocaleString('en-US')}`
    case 'boolean': return 'true, false'
    case 'string': return `matches \`${spec.pattern.source}\``
    case 'choice': return spec.choices.map((choice) => `\`${JSON.stringify(choice)}\``).join(', ')
    case 'list': return `list of ${spec.of}s`
    case 'guard': return 'true, false, or a function'
    case 'origins': return 'list of strings, or a function'
    default: return spec.kind
  }
}

const parts = SECTIONS.map(([title, intro, table]) => {
  const rows = Object.entries(table).map(([name, spec]) => `| \`${name}\` | ${shownDefault(spec)} | ${values(spec)} | ${spec.doc} |`)
  return `## ${title}\n\n${intro}\n\n| option | default | values | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`
})
const text = '# Options\n\n<!-- Made from the table in lib/options.ts by `npm run docs:options`; a test compares. -->\n\n' +
  'An unknown option, or a value outside its bounds, is refused with `CLAW_ERR_OPTION_INVALID`.\n\n' + parts.join('\n')

const path = new URL('../docs/options.md', import.meta.url)
if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (readFileSync(path, 'utf8') !== text) {
  console.error('docs/options.md is not what lib/options.ts says: run `npm run docs:options`')
  process.exitCode = 1
}
