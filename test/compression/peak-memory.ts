/**
 * How much a process grows at most by one decompression. A process of its own tells: what the system counted
 * as its peak includes what a garbage collector would hide.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export type Codec = 'node-gzip' | 'gzip' | 'gzip without streams' | 'snappy' | 'node-zstd' | 'zstd'

const CHILD = fileURLToPath(new URL('peak-memory-child.ts', import.meta.url))
const LOADER = new URL('../../scripts/ts-loader.mjs', import.meta.url).href

/** `grown` in bytes; `code` is the error's, undefined when there was none. */
export function peakMemory (test: Test, codec: Codec, bytes: Uint8Array, maxBytes: number): { grown: number, code: string | undefined } {
  const file = join(test.testdir({}), 'payload')
  writeFileSync(file, bytes)
  const { stdout, stderr } = spawnSync(process.execPath, [`--import=${LOADER}`, CHILD, codec, file, String(maxBytes)], { encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout) as { grown: number, code: string | undefined }
}
