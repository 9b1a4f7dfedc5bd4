// node-zstd.ts and node.ts where neither this Node nor a package has zstd: a loader that hides both.
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { ErrorCode } from '../../lib/errors.js'

const HIDE = `
  import { register } from 'node:module'
  import zlib from 'node:zlib'
  import { syncBuiltinESMExports } from 'node:module'
  register('data:text/javascript,' + encodeURIComponent(\`
    export async function resolve (specifier, context, next) {
      if (specifier.startsWith('zstd-napi')) throw new Error('Cannot find package zstd-napi')
      if (specifier === 'node:zlib') return { url: 'data:text/javascript,export { constants, gzip, gzipSync, gunzip, gunzipSync } from "zlib"', shortCircuit: true }
      return next(specifier, context)
    }
  \`))
`
const PROGRAM = (directory: string): string => `
  const { nodeZstd } = await import('${directory}node-zstd.ts')
  const { nodeCompressors } = await import('${directory}node.ts')
  const registry = await nodeCompressors()
  const attempts = await Promise.allSettled([nodeZstd(), nodeCompressors({ zstd: true })])
  process.stdout.write(JSON.stringify({
    names: [...registry].map(compressor => compressor.name),
    errors: attempts.map(({ reason }) => ({ code: reason?.code, message: reason?.message }))
  }))
`

t.test('the registry does without, and who asks for it is told what to install', t => {
  const loader = new URL('../../scripts/ts-loader.mjs', import.meta.url).href
  const directory = new URL('../../lib/compression/', import.meta.url).href
  const { stdout, stderr } = spawnSync(process.execPath, [`--import=${loader}`, `--import=data:text/javascript,${encodeURIComponent(HIDE)}`,
    '--input-type=module', '--eval', PROGRAM(directory)], { encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr)
  const { names, errors } = JSON.parse(stdout) as { names: string[], errors: object[] }
  t.strictSame(names, ['gzip', 'snappy'])
  for (const error of errors) t.match(error, { code: ErrorCode.OPTION_INVALID, message: /npm install zstd-napi/ })
  t.equal(errors.length, 2)
  t.end()
})
