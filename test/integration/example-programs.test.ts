import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from 'fastify-claw/client'
import { Program } from '../helpers/program.js'

const file = (name: string): string => fileURLToPath(new URL(`../../example/${name}`, import.meta.url))
const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** example/server.mjs on a port of its own; where it says it is. */
async function startServer (t: Test): Promise<{ server: Program, url: string }> {
  const server = new Program(t, file('server.mjs'), [], { env: { PORT: '0' } })
  const line = await server.line()
  const [, url = ''] = /^fastify-claw example: (http:\/\/127\.0\.0\.1:\d+) {2}\(RPC at ws:\/\/127\.0\.0\.1:\d+\/rpc\)$/.exec(line) ?? []
  t.not(url, '', line)
  return { server, url }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`server.mjs ends in good order at ${signal}: what runs finishes`, async (t) => {
    const { server, url } = await startServer(t)
    t.match(await (await fetch(url)).text(), '<title>fastify-claw')
    const client = await connect(`${url}/rpc`, { WebSocket })
    t.teardown(() => { client.destroy() })
    const chat = client.biDir('example', 'Echo', 'BiDi')
    const heard = chat.recv()
    await chat.send(encode('before'))
    t.equal(decode((await heard.next()).value as Uint8Array), 'before')

    server.kill(signal)
    // Until it has told the client that it is going away.
    while (client.isOpen) await client.sync('example', 'Echo', 'Unary').call(encode('?')).catch(() => {})
    await chat.send(encode('during'))
    t.equal(decode((await heard.next()).value as Uint8Array), 'during')
    chat.closeSend()
    t.equal((await heard.next()).done, true)
    t.equal(await chat.ended, undefined)
    t.same(await server.end(), { lines: [], code: 0, signal: null })
    t.equal(await client.closed, undefined)
    t.equal(server.errors, '')
  })
}

t.test('server.mjs says so when the port is taken', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => { other.close() })
  const { port } = other.address() as AddressInfo
  const server = new Program(t, file('server.mjs'), [], { env: { PORT: String(port) } })
  t.match(await server.end(), { lines: [], code: 1 })
  t.match(server.errors, `cannot listen on 127.0.0.1:${port}: listen EADDRINUSE`)
})

t.test('node-client.mjs', async (t) => {
  const { url } = await startServer(t)
  const { lines, code } = await new Program(t, file('node-client.mjs'), [`${url.replace('http', 'ws')}/rpc`]).end()
  t.equal(code, 0)
  t.same(lines, [
    'Unary: hello',
    'Collect: 3 11 | trailer count 3',
    'Repeat: 0 0 0 0',
    'Repeat: 1 1 1 1',
    'Repeat: 2 2 2 2',
    'BiDi: over',
    'BiDi: out',
    'Fail: NotFound - no such row',
    'Sleep: DeadlineExceeded'
  ])
})

t.test('engine-over-tcp.mjs', async (t) => {
  const program = new Program(t, file('engine-over-tcp.mjs'))
  t.same(await program.end(), { lines: ['Unary: over TCP', 'Repeat: 1000000 bytes', 'everything finished: true'], code: 0, signal: null })
  t.equal(program.errors, '')
})

t.test('rest-beside-rpc.mjs', async (t) => {
  const program = new Program(t, file('rest-beside-rpc.mjs'), [], { env: { PORT: '0' } })
  const [, url = ''] = /^listening on (http:\S+)$/.exec(await program.line()) ?? []
  t.same(await (await fetch(`${url}/stock/apples`)).json(), { count: 12 })
  t.equal((await fetch(`${url}/stock/plums`)).status, 404)
  const client = await connect(`${url}/rpc`, { WebSocket })
  t.teardown(() => client.close())
  const count = client.sync('shop', 'Stock', 'Count')
  t.equal(decode(await count.call(encode('apples'))), '12')
  await t.rejects(count.call(encode('plums')), { code: 'CLAW_ERR_NOT_FOUND', message: 'no plums here' })
  program.kill('SIGTERM')
  t.same(await program.end(), { lines: [], code: 0, signal: null })
})
