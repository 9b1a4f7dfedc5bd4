/** The process that peak-memory.ts measures. Arguments: the codec, a file, the limit. */
import { readFileSync } from 'node:fs'
import { gzip } from '../../lib/compression/gzip.js'
import { nodeGzip } from '../../lib/compression/node-gzip.js'
import { nodeZstd } from '../../lib/compression/node-zstd.js'
import { snappy } from '../../lib/compression/snappy.js'
import { zstdDecoder } from '../../lib/compression/zstd.js'
import { RpcError } from '../../lib/errors.js'

const [, , name, file, maxBytes] = process.argv
const codecs = new Map([
  ['node-gzip', nodeGzip()],
  ['gzip', gzip()],
  ['gzip without streams', gzip()],
  ['snappy', snappy()],
  ['zstd', zstdDecoder()],
  ['node-zstd', await nodeZstd()]
])
const codec = codecs.get(name!)!
if (name === 'gzip without streams') Reflect.deleteProperty(globalThis, 'DecompressionStream')
const bytes = readFileSync(file!)

/** In KiB. Linux passes `maxRSS` on from the parent of a process, so there the peak of its own memory is asked for. */
function peak (): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS
  return Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'latin1'))![1])
}

const before = peak()
let code: string | undefined
try {
  await codec.decompress(bytes, Number(maxBytes))
} catch (error) {
  code = RpcError.from(error).code
}
process.stdout.write(JSON.stringify({ grown: (peak() - before) * 1024, code }))
