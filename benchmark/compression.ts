/**
 * Compressors by size of payload: node --import=./scripts/ts-loader.mjs --expose-gc benchmark/compression.ts [filter]
 * JSON-like text, every codec of lib/compression; the numbers of other libraries are in docs/performance.md.
 */
import { bench, group, run, summary } from 'mitata'
import { gzip } from '../lib/compression/gzip.js'
import { nodeGzip } from '../lib/compression/node-gzip.js'
import { nodeZstd } from '../lib/compression/node-zstd.js'
import { snappy } from '../lib/compression/snappy.js'
import { zstdDecoder } from '../lib/compression/zstd.js'
import type { Compressor } from '../types/compressor.js'

const SIZES = { '100 B': 100, '1 KiB': 1024, '16 KiB': 16 * 1024, '1 MiB': 1024 * 1024 }

/** Rows as a database gives them, the same in every run. */
function rows (bytes: number): Uint8Array {
  let seed = 1
  const random = (): number => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0)
  let text = ''
  for (let id = 1; text.length < bytes; id++) {
    text += `{"id":${id},"name":"user${random() % 5000}","email":"u${random() % 5000}@example.com","active":${random() % 2 === 0},"score":${random() % 1000 / 10}},`
  }
  return new TextEncoder().encode(text.slice(0, bytes))
}

const zstd = await nodeZstd()
const codecs: [string, Compressor, Compressor][] = [
  ['node gzip 6', nodeGzip(), nodeGzip()],
  ['node gzip 1', nodeGzip({ level: 1 }), nodeGzip()],
  ['browser gzip 6', gzip(), gzip()],
  ['snappy', snappy(), snappy()],
  ['node zstd 3', zstd, zstd],
  ['browser zstd', zstd, zstdDecoder()]
]

for (const [label, bytes] of Object.entries(SIZES)) {
  const payload = rows(bytes)
  for (const direction of ['compress', 'decompress']) {
    summary(() => group(`${direction} ${label}`, () => {
      for (const [name, encoder, decoder] of codecs) {
        if (direction === 'compress') {
          if (encoder !== zstd || decoder === zstd) bench(`${name}, ${direction} ${label}`, async () => await encoder.compress(payload))
        } else {
          const compressed = encoder.compress(payload)
          bench(`${name}, ${direction} ${label}`, async () => await decoder.decompress(await compressed, bytes))
        }
      }
    }))
  }
}

const [filter] = process.argv.slice(2)
await run(filter === undefined ? {} : { filter: new RegExp(filter) })
