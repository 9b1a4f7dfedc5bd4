// Windows in use: they grow for a reader that keeps up and for nobody else; parallel calls wait in line.
import t from 'tap'
import type { Test } from 'tap'
import { Client } from '../../lib/client/client.js'
import { RecvHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import { memoryPair } from '../../lib/transport/memory.js'

const MIB = 1024 * 1024

function pair (t: Test): { server: Server, client: Client, produced: () => number } {
  const alive = setInterval(() => {}, 1000)
  const server = new Server()
  let produced = 0
  server.register('p', 'S', 'Echo', new SyncHandler((_context, request) => request))
  server.register('p', 'S', 'Flood', new RecvHandler(async (context, stream) => {
    const chunk = new Uint8Array(32 * 1024)
    while (!context.signal.aborted) {
      await stream.send(chunk)
      produced += chunk.byteLength
    }
  }))
  const [far, near] = memoryPair()
  server.connect(far)
  const client = new Client(near)
  t.teardown(async () => {
    await client.close()
    clearInterval(alive)
  })
  return { server, client, produced: () => produced }
}

t.test('many large calls at once wait in line instead of failing', async (t) => {
  const { client } = pair(t)
  const echo = client.sync('p', 'S', 'Echo')
  await echo.call(new Uint8Array(1))
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => echo.call(new Uint8Array(MIB).fill(i))))
  answers.forEach((answer, i) => { t.ok(answer.byteLength === MIB && answer[MIB - 1] === i, `answer ${i}`) })
})

t.test('the window grows while the reader keeps up, then holds', async (t) => {
  const { client, produced } = pair(t)
  const stream = client.recv('p', 'S', 'Flood')
  const iterator = stream.recv()
  let read = 0
  // Keeps up for 64 MiB.
  while (read < 64 * MIB) read += (await iterator.next()).value.byteLength
  // Then stops reading: what the server can still produce is what its credit and the buffers allow.
  const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })
  for (let before = -1; before !== produced();) {
    before = produced()
    for (let i = 0; i < 50; i++) await turn()
  }
  const ahead = produced() - read
  t.ok(ahead > MIB, `${ahead} bytes ahead: more than the announced 256 KiB`)
  t.ok(ahead < 5 * MIB, `${ahead} bytes ahead: no more than maxWindowBytes and what stands unsent`)
})

t.test('the window does not grow for a reader that never reads', async (t) => {
  const { client, produced } = pair(t)
  client.recv('p', 'S', 'Flood')
  const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })
  for (let before = -1; before !== produced() || produced() === 0;) {
    before = produced()
    for (let i = 0; i < 50; i++) await turn()
  }
  t.ok(produced() < 600 * 1024, `${produced()} bytes: the window of 256 KiB and what stands unsent`)
})
