import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { Category, RpcError, connect } from 'fastify-claw/client'
import type { Client } from 'fastify-claw/client'
import { buildApp } from '../../example/app.mjs'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const NAME = ['example', 'Echo'] as const

async function start (t: Test): Promise<{ app: Awaited<ReturnType<typeof buildApp>>, client: Client, url: string }> {
  const app = await buildApp()
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const client = await connect(`${url}/rpc`, { WebSocket })
  t.teardown(() => client.close())
  return { app, client, url }
}

/** The call must fail; with what. */
async function failure (call: Promise<unknown>): Promise<{ category: number, message: string }> {
  const error: unknown = await call.then(() => undefined, (error: unknown) => error)
  if (!RpcError.is(error)) throw new Error(`not an RpcError: ${String(error)}`)
  return { category: error.category, message: error.message }
}

async function gather (stream: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for await (const bytes of stream) all.push(bytes)
  return all
}

t.test('all four kinds over a WebSocket', async (t) => {
  const { client } = await start(t)

  for (const size of [0, 1, 1000, 100_000, 1024 * 1024]) {
    const request = Uint8Array.from({ length: size }, (_, i) => i * 31 + (i >> 8))
    t.equal(hash(await client.sync(...NAME, 'Unary').call(request)), hash(request), `Unary ${size}`)
  }

  const upload = client.send(...NAME, 'Collect')
  for (let i = 0; i < 100; i++) await upload.send(new Uint8Array(i))
  t.equal(decode(await upload.close()), '100 4950')
  t.equal(upload.trailer.get('count'), '100')
  t.equal(decode(await client.send(...NAME, 'Collect').close()), '0 0', 'nothing is also something to collect')

  const download = client.recv(...NAME, 'Repeat', { metadata: { count: '300', size: '7' } })
  const messages = await gather(download)
  t.equal(messages.length, 300)
  t.ok(messages.every((bytes, i) => bytes.byteLength === 7 && bytes.every((byte) => byte === i % 256)), 'message i is filled with i mod 256')
  t.equal(download.trailer.get('sent'), '300')
  t.same(await gather(client.recv(...NAME, 'Repeat', { metadata: { count: '0', size: '7' } })), [])

  const chat = client.biDir(...NAME, 'BiDi')
  const heard = gather(chat.recv())
  for (const text of ['one', '', 'three']) await chat.send(encode(text))
  chat.closeSend()
  t.same((await heard).map(decode), ['one', '', 'three'])
  t.equal(chat.trailer.get('echoed'), '3')
})

t.test('Fail fails as it is told', async (t) => {
  const { client } = await start(t)
  const fail = client.sync(...NAME, 'Fail')
  for (const [name, category] of Object.entries(Category)) {
    if (category === Category.OK) continue
    t.same(await failure(fail.call(encode(''), { metadata: { category: String(category), message: `as ${name}` } })), { category, message: `as ${name}` })
  }
  t.same(await failure(fail.call(encode(''), { metadata: { category: '5', message: '' } })), { category: Category.NotFound, message: '' })
})

t.test('bad input is InvalidArgument', async (t) => {
  const { client } = await start(t)
  const bad = async (call: Promise<unknown>, message: string): Promise<void> => { t.same(await failure(call), { category: Category.InvalidArgument, message }) }

  const fail = client.sync(...NAME, 'Fail')
  const categories = 'metadata category must be a number from 1 to 16'
  for (const category of ['x', '', '0', '17', '-1', '1.5', '1e1', ' 5', '99999999999999999999']) await bad(fail.call(encode(''), { metadata: { category, message: 'm' } }), categories)
  await bad(fail.call(encode(''), { metadata: { message: 'm' } }), 'metadata category is missing')
  await bad(fail.call(encode(''), { metadata: { category: '5' } }), 'metadata message is missing')
  await bad(fail.call(encode('')), 'metadata category is missing')

  const sleep = client.sync(...NAME, 'Sleep')
  for (const text of ['abc', '', '-1', '60001', '1 ', '0x10']) await bad(sleep.call(encode(text)), 'the request must be a number from 0 to 60000')

  const repeat = (metadata: Record<string, string>): Promise<unknown> => gather(client.recv(...NAME, 'Repeat', { metadata }))
  await bad(repeat({}), 'metadata count is missing')
  await bad(repeat({ count: '1' }), 'metadata size is missing')
  await bad(repeat({ count: '1000001', size: '1' }), 'metadata count must be a number from 0 to 1000000')
  await bad(repeat({ count: 'many', size: '1' }), 'metadata count must be a number from 0 to 1000000')
  await bad(repeat({ count: '1', size: '1048577' }), 'metadata size must be a number from 0 to 1048576')
})

t.test('Sleep answers, and stops at once when nobody waits', async (t) => {
  const { app, client } = await start(t)
  const sleep = client.sync(...NAME, 'Sleep')
  t.equal(decode(await sleep.call(encode('1'))), '1')
  t.equal(decode(await sleep.call(encode('0'))), '0')

  const { category } = await failure(sleep.call(encode('60000'), { timeoutMs: 20 }))
  t.equal(category, Category.DeadlineExceeded)

  const canceling = new AbortController()
  const canceled = failure(sleep.call(encode('60000'), { signal: canceling.signal }))
  // An answer to a call behind it: the sleeper has started.
  await client.sync(...NAME, 'Unary').call(encode('?'))
  canceling.abort()
  t.equal((await canceled).category, Category.Canceled)
  await client.sync(...NAME, 'Unary').call(encode('?'))
  t.equal(app.rpc.server.stats().running, 0, 'no handler sleeps on')
})

t.test('a reader that leaves stops Repeat', async (t) => {
  const { app, client } = await start(t)
  const reading = client.recv(...NAME, 'Repeat', { metadata: { count: '1000000', size: '65536' } })[Symbol.asyncIterator]()
  t.match(await reading.next(), { value: { byteLength: 65_536 }, done: false })
  await reading.return?.() // what leaving a `for await` does
  await client.sync(...NAME, 'Unary').call(encode('?'))
  t.equal(app.rpc.server.stats().running, 0)
  t.ok(app.rpc.server.stats().bytesSent < 1024 * 1024, 'what was not read was not sent')
})

t.test('REST beside RPC: the same code on the same port', async (t) => {
  const { app, client, url } = await start(t)
  for (const text of ['hello', 'ünïcödé ☃', 'a/b?c#d%', '0']) {
    const response = await fetch(`${url}/api/echo/${encodeURIComponent(text)}`)
    t.equal(response.status, 200)
    t.equal(response.headers.get('content-type'), 'text/plain; charset=utf-8')
    t.equal(await response.text(), text)
    t.equal(decode(await client.sync(...NAME, 'Unary').call(encode(text))), text)
  }
  const stats = (await app.inject('/api/stats')).json<{ connections: number, running: number }>()
  t.match(stats, { connections: 1, running: 0 })
  t.equal((await app.inject('/api/rpcs')).json<unknown[]>().length, 6)
})

t.test('the page and nothing else', async (t) => {
  const app = await buildApp()
  t.teardown(() => app.close())
  for (const [url, type] of Object.entries({
    '/': 'text/html; charset=utf-8',
    '/page.js': 'text/javascript; charset=utf-8',
    '/style.css': 'text/css; charset=utf-8',
    '/icon.svg': 'image/svg+xml',
    '/claw/lib/client/index.js': 'text/javascript; charset=utf-8'
  })) {
    const response = await app.inject(url)
    t.equal(response.statusCode, 200, url)
    t.equal(response.headers['content-type'], type)
    t.equal(response.headers['x-content-type-options'], 'nosniff')
  }
  for (const url of ['/app.mjs', '/../package.json', '/claw/../package.json', '/claw/lib/..%2f..%2fpackage.json', '/%2e%2e/server.mjs', '/claw/lib/client/index.d.ts', '/page.js/', '/nothing']) {
    t.equal((await app.inject(url)).statusCode, 404, url)
  }
})

t.test('the client is browser-ready modules: nothing it reaches has a bare import', async (t) => {
  const app = await buildApp()
  t.teardown(() => app.close())
  const seen = new Set<string>()
  const queue = ['/claw/lib/client/index.js']
  for (let url = queue.pop(); url !== undefined; url = queue.pop()) {
    if (seen.has(url)) continue
    seen.add(url)
    const { statusCode, body } = await app.inject(url)
    t.equal(statusCode, 200, url)
    for (const [, specifier = ''] of body.matchAll(/^(?:import|export) (?:[\w$*{}\s,]+ from )?'([^']+)';$/gm)) {
      t.match(specifier, /^\.\.?\//, `${url} imports ${specifier}`)
      queue.push(new URL(specifier, `http://x${url}`).pathname)
    }
  }
  t.ok(seen.size > 20)
})

t.test('close() lets what runs finish', async (t) => {
  const { app, client } = await start(t)
  const chat = client.biDir(...NAME, 'BiDi')
  const heard = chat.recv()
  await chat.send(encode('before'))
  t.equal(decode((await heard.next()).value as Uint8Array), 'before')

  const draining = once(app.server, 'close')
  const closing = app.close()
  await chat.send(encode('during'))
  t.equal(decode((await heard.next()).value as Uint8Array), 'during')
  chat.closeSend()
  t.same(await heard.next(), { value: undefined, done: true })
  t.equal(chat.trailer.get('echoed'), '2')
  await Promise.all([closing, draining])
  t.equal(await client.closed, undefined, 'an orderly end')
  t.equal((await failure(client.sync(...NAME, 'Unary').call(encode('after')))).category, Category.Unavailable)
})

function hash (bytes: Uint8Array): string { return createHash('sha256').update(bytes).digest('hex') }
