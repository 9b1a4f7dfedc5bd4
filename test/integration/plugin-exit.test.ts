// After close() nothing is left that keeps a process alive: no timer, no socket, no listener.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))

for (const order of ['before', 'after', 'none']) {
  for (const who of ['client', 'server']) {
    t.test(`@fastify/websocket ${order}, closed by the ${who}`, async (t) => {
      const child = spawn(process.execPath, ['--import', './scripts/ts-loader.mjs', 'test/integration/plugin-exit-program.ts', order, who],
        { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], timeout: 20_000 })
      let closedAt = 0
      child.stdout.on('data', (chunk: Buffer) => { if (chunk.toString().includes('closed')) closedAt = performance.now() })
      const [code, signal] = await once(child, 'exit') as [number | null, string | null]
      t.strictSame([code, signal], [0, null])
      t.ok(closedAt > 0, 'it came to its end')
      t.ok(performance.now() - closedAt < 1000, 'and ended then')
    })
  }
}
