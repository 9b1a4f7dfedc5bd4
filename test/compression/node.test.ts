// node.ts: what a server has without asking.
import t from 'tap'
import { ErrorCode } from '../../lib/errors.js'
import { nodeCompressors } from '../../lib/compression/node.js'

t.test('gzip, snappy and zstd', async t => {
  const registry = await nodeCompressors()
  t.strictSame([...registry].map(({ id, name }) => [id, name]), [[1, 'gzip'], [2, 'snappy'], [3, 'zstd']])
})

t.test('zstd can be left out or asked for', async t => {
  t.equal((await nodeCompressors({ zstd: false })).get(3), undefined)
  t.ok((await nodeCompressors({ zstd: true })).get(3))
  t.ok((await nodeCompressors({ gzip: { level: 1 }, zstd: { level: 1 } })).get(3))
})

t.test('wrong options', async t => {
  await t.rejects(nodeCompressors({ gzip: { level: 99 } }), { code: ErrorCode.OPTION_INVALID })
  await t.rejects(nodeCompressors({ zstd: { level: 99 } }), { code: ErrorCode.OPTION_INVALID })
})
