// The frames of zstd-cases.ts are made by zstd-napi, which is native code that a machine may be without.
import t from 'tap'
import { loadZstdBinding } from '../../lib/compression/node-zstd-napi.js'

const problem = await loadZstdBinding().then(() => undefined, (error: unknown) => error instanceof Error ? error.message : 'unknown')

if (problem === undefined) await import('./zstd-cases.js')
else {
  console.error('\n!!! zstd is NOT tested: the optional package zstd-napi is missing (npm install --no-save --save-dev zstd-napi@0.0.13) !!!\n')
  t.plan(0, `zstd-napi is missing: ${problem}`)
}
