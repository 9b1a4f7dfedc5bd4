import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import type { Category, RpcError, connect } from 'fastify-claw/client'
import { buildApp } from '../../example/app.mjs'
import { launch, openPage } from './chromium.js'

t.setTimeout(120_000)
const browser = await launch(t)

/** What the scripts that run inside the page find there: the client, and what is made of it below. */
declare const claw: { connect: typeof connect, RpcError: typeof RpcError, Category: typeof Category }

/** An app, and a bare page of its origin that has loaded the client. */
async function open (t: Test): Promise<{ app: Awaited<ReturnType<typeof buildApp>>, page: Page, sockets: readonly unknown[], complaints: readonly string[] }> {
  const app = await buildApp()
  t.teardown(() => app.close())
  app.get('/bare', (_request, reply) => reply.type('text/html').send('<!doctype html><title>bare</title><link rel="icon" href="data:,">'))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const watched = await openPage(t, browser)
  await watched.page.goto(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/bare`)
  await watched.page.addScriptTag({ type: 'module', content: "import * as claw from '/claw/lib/client/index.js'; globalThis.claw = claw" })
  await watched.page.waitForFunction(() => 'claw' in globalThis)
  return { app, ...watched }
}

t.test('bytes arrive as they were sent, whatever their number', async (t) => {
  const { page, sockets, complaints } = await open(t)
  const sizes = [0, 1, 7, 8, 1023, 65_535, 65_536, 65_537, 131_072, 262_144, 262_145, 1024 * 1024, ...Array.from({ length: 20 }, () => Math.floor(Math.random() * 300_000))]
  const wrong = await page.evaluate(async (sizes) => {
    const client = await claw.connect('/rpc')
    const random = (size: number): Uint8Array => {
      const bytes = new Uint8Array(size)
      for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
      return bytes
    }
    const same = (a: Uint8Array | undefined, b: Uint8Array): boolean => a?.byteLength === b.byteLength && a.every((byte, i) => byte === b[i])
    const wrong: string[] = []

    for (const size of sizes) {
      const request = random(size)
      if (!same(await client.sync('example', 'Echo', 'Unary').call(request), request)) wrong.push(`Unary ${size}`)
    }

    const sent = sizes.map(random)
    const chat = client.biDir('example', 'Echo', 'BiDi')
    const sending = (async () => {
      for (const bytes of sent) await chat.send(bytes)
      chat.closeSend()
    })()
    let received = 0
    for await (const bytes of chat.recv()) if (!same(bytes, sent[received++] as Uint8Array)) wrong.push(`BiDi message ${received - 1}`)
    await sending
    if (received !== sizes.length) wrong.push(`BiDi ${received} of ${sizes.length}`)
    if (chat.trailer.get('echoed') !== String(sizes.length)) wrong.push('BiDi trailer')

    const upload = client.send('example', 'Echo', 'Collect')
    for (const bytes of sent) await upload.send(bytes)
    const answer = new TextDecoder().decode(await upload.close())
    const total = sizes.reduce((sum, size) => sum + size, 0)
    if (answer !== `${sizes.length} ${total}`) wrong.push(`Collect ${answer}`)

    let i = 0
    const download = client.recv('example', 'Echo', 'Repeat', { metadata: { count: '300', size: '40000' } })
    for await (const bytes of download) {
      if (!same(bytes, new Uint8Array(40_000).fill(i))) wrong.push(`Repeat message ${i}`)
      i++
    }
    if (i !== 300 || download.trailer.get('sent') !== '300') wrong.push(`Repeat ${i}`)
    await client.close()
    return wrong
  }, sizes)
  t.same(wrong, [])
  t.equal(sockets.length, 1)
  t.same(complaints, [])
})

t.test('fifty calls of all kinds at once', async (t) => {
  const { app, page, sockets, complaints } = await open(t)
  const outcome = await page.evaluate(async () => {
    const client = await claw.connect('/rpc')
    const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
    let most = 0
    const kinds: ((i: number) => Promise<boolean>)[] = [
      async (i) => text(await client.sync('example', 'Echo', 'Unary').call(bytes(`call ${i}`))) === `call ${i}`,
      async (i) => text(await client.sync('example', 'Echo', 'Sleep').call(bytes(String(i)))) === String(i),
      async (i) => {
        const upload = client.send('example', 'Echo', 'Collect')
        for (let n = 0; n < 50; n++) await upload.send(new Uint8Array(i * 100))
        return text(await upload.close()) === `50 ${50 * i * 100}`
      },
      async (i) => {
        let n = 0
        for await (const message of client.recv('example', 'Echo', 'Repeat', { metadata: { count: '100', size: String(i * 200) } })) {
          if (message.byteLength !== i * 200 || message.some((byte) => byte !== n)) return false
          n++
        }
        return n === 100
      },
      async (i) => {
        const chat = client.biDir('example', 'Echo', 'BiDi')
        const heard = chat.recv()
        for (let n = 0; n < 30; n++) {
          await chat.send(bytes(`${i}/${n}`))
          if (text((await heard.next()).value as Uint8Array) !== `${i}/${n}`) return false
        }
        chat.closeSend()
        return (await heard.next()).done === true && chat.trailer.get('echoed') === '30'
      }
    ]
    const calls = Array.from({ length: 50 }, async (_, i) => {
      const right = await kinds[i % kinds.length]?.(i)
      return right === true ? undefined : `call ${i} went wrong`
    })
    most = client.running
    const wrong = (await Promise.all(calls)).filter((text) => text !== undefined)
    const left = client.running
    await client.close()
    return { wrong, most, left }
  })
  t.same(outcome, { wrong: [], most: 50, left: 0 })
  t.equal(sockets.length, 1)
  t.match(app.rpc.server.stats(), { connectionsTotal: 1, running: 0, sessions: 0 })
  t.same(complaints, [])
})

t.test('a lost connection is Unavailable for what runs, and never an end', async (t) => {
  const { app, page, complaints } = await open(t)
  await page.evaluate(async () => {
    const client = await claw.connect('/rpc')
    const outcome = async (call: Promise<unknown>): Promise<string> => {
      try {
        await call
        return 'ended as if all were well'
      } catch (error) {
        return claw.RpcError.is(error) ? `${error.category === claw.Category.Unavailable ? 'Unavailable' : error.category}` : String(error)
      }
    }
    const gather = async (stream: AsyncIterable<Uint8Array>): Promise<number> => {
      let count = 0
      for await (const bytes of stream) count += bytes.byteLength > 0 ? 1 : 0
      return count
    }
    const seconds = new TextEncoder().encode('60000')
    const upload = client.send('example', 'Echo', 'Collect')
    const chat = client.biDir('example', 'Echo', 'BiDi')
    const endless = client.recv('example', 'Echo', 'Repeat', { metadata: { count: '1000000', size: '1000' } })
    const slow = client.recv('example', 'Echo', 'Repeat', { metadata: { count: '1000000', size: '1000' } })
    const iterator = slow[Symbol.asyncIterator]()
    await chat.send(seconds)
    await chat.recv().next()
    await iterator.next()
    await upload.send(seconds)
    Object.assign(globalThis, {
      outcomes: Promise.all([
        outcome(client.sync('example', 'Echo', 'Sleep').call(seconds)),
        outcome(gather(chat.recv())),
        outcome(gather(endless)),
        outcome(gather({ [Symbol.asyncIterator]: () => iterator })),
        client.closed.then(() => outcome(upload.close())),
        client.closed.then(() => outcome(upload.send(seconds))),
        client.closed.then(() => outcome(client.sync('example', 'Echo', 'Unary').call(seconds))),
        outcome(client.closed.then((error) => { throw error ?? new Error('closed as if all were well') }))
      ])
    })
    // All of them have begun on the server: it answers in order.
    await client.sync('example', 'Echo', 'Unary').call(seconds)
  })
  // The socket itself, without a word of the protocol.
  for (const socket of app.websocketServer.clients) socket.terminate()
  const outcomes = await page.evaluate(() => (globalThis as unknown as { outcomes: Promise<string[]> }).outcomes)
  t.same(outcomes, Array.from({ length: 8 }, () => 'Unavailable'))
  t.same(complaints, [])
})

t.test('cancel, deadline and errors from a browser', async (t) => {
  const { app, page, complaints } = await open(t)
  const outcomes = await page.evaluate(async () => {
    const client = await claw.connect('/rpc')
    const outcome = (call: Promise<unknown>): Promise<unknown> => call.then(() => 'ok', (error: unknown) => claw.RpcError.is(error) ? [error.category, error.code, error.message] : String(error))
    const seconds = new TextEncoder().encode('60000')
    const sleep = client.sync('example', 'Echo', 'Sleep')
    const canceling = new AbortController()
    const canceled = outcome(sleep.call(seconds, { signal: canceling.signal }))
    const deadline = outcome(sleep.call(seconds, { timeoutMs: 30 }))
    canceling.abort()
    const outcomes = [await canceled, await deadline,
      await outcome(client.sync('example', 'Echo', 'Fail').call(seconds, { metadata: { category: '16', message: 'who are you?' } })),
      await outcome(client.sync('example', 'Echo', 'Nothing').call(seconds)),
      await outcome(client.sync('example', 'Echo', 'Unary').call(new Uint8Array(5 * 1024 * 1024)))]
    await client.close()
    return outcomes
  })
  t.match(outcomes, [
    [1, 'CLAW_ERR_CANCELED', 'canceled by the caller'],
    [4, 'CLAW_ERR_DEADLINE_EXCEEDED', 'deadline exceeded'],
    [16, 'CLAW_ERR_UNAUTHENTICATED', 'who are you?'],
    [12, 'CLAW_ERR_UNIMPLEMENTED'],
    [8, 'CLAW_ERR_MESSAGE_TOO_LARGE']
  ])
  t.equal(app.rpc.server.stats().running, 0)
  t.same(complaints, [])
})

t.test('a page of another origin is turned away', async (t) => {
  const { page, app } = await open(t)
  const stranger = await buildApp()
  t.teardown(() => stranger.close())
  await stranger.listen({ port: 0, host: '127.0.0.1' })
  const other = `ws://127.0.0.1:${(stranger.server.address() as AddressInfo).port}/rpc`
  const outcome = await page.evaluate((url) => claw.connect(url).then(() => 'connected', (error: unknown) => (error as RpcError).code), other)
  t.equal(outcome, 'CLAW_ERR_CONNECT_FAILED')
  t.equal(stranger.rpc.server.stats().connectionsTotal, 0)
  t.equal(app.rpc.server.stats().connectionsTotal, 0)
})
