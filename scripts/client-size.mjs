// What the client costs a web page that calls, and looks at errors and metadata: bundled, minified, gzipped. Fails above
// the limit, and when anything in the bundle needs Node (esbuild cannot resolve a builtin for the browser).
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

// The first goal was 8,000. The whole protocol on the page's side (flow control, chunks and reassembly, both minor
// versions, packing, deadlines, the codec) takes more: a third is the wire room, a third connection, a third calls.
// The limit is there so that it does not grow unseen.
const LIMIT_GZIP_BYTES = 25_000

const root = fileURLToPath(new URL('..', import.meta.url))
const entry = join(root, 'lib', 'client', 'index.ts')

if (!existsSync(entry)) {
  console.log('client size: lib/client/index.ts does not exist yet')
} else {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export { connect, Category, ErrorCode, Metadata, RpcError } from ${JSON.stringify(entry)}`, resolveDir: root },
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    absWorkingDir: root
  })
  const code = outputFiles[0].contents
  const gzip = gzipSync(code, { level: 9 }).byteLength

  const inputs = Object.entries(Object.values(metafile.outputs)[0].inputs).sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput)
  for (const [file, { bytesInOutput }] of inputs) console.log(`${String(bytesInOutput).padStart(8)}  ${file}`)
  console.log(`client size: ${code.byteLength} bytes minified, ${gzip} bytes gzip (limit ${LIMIT_GZIP_BYTES})`)

  if (gzip > LIMIT_GZIP_BYTES) {
    console.error('client size: above the limit')
    process.exitCode = 1
  }
}
