import type { AddressInfo } from 'node:net'
import type { BrowserContextOptions, Locator, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../../example/app.mjs'
import { launch, openPage } from './chromium.js'
import type { Watched } from './chromium.js'

t.setTimeout(120_000)
const browser = await launch(t)

type App = Awaited<ReturnType<typeof buildApp>>

type Opened = Watched & { readonly app: App }

/** A test with an app of its own and a page that is connected to it; the page must have nothing to complain about. */
function pageTest (name: string, run: (t: Test, opened: Opened) => Promise<void>, options?: BrowserContextOptions): void {
  t.test(name, async (t) => {
    const app = await buildApp()
    t.teardown(() => app.close())
    await app.listen({ port: 0, host: '127.0.0.1' })
    const watched = await openPage(t, browser, options)
    await watched.page.goto(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
    await watched.page.locator('#badge[data-state=open]').waitFor()
    await run(t, { ...watched, app })
    t.same(watched.complaints, [], 'the page has nothing to complain about')
  })
}

/** Waits until the element says this. */
async function says (locator: Locator, text: string | RegExp): Promise<string> {
  await locator.filter({ hasText: text }).waitFor()
  return await locator.innerText()
}

const lane = (page: Page, state: string, name?: string): Locator => page.locator(`.lane[data-state=${state}]${name === undefined ? '' : `[data-name=${name}]`}`)
const stat = (page: Page, name: string): Locator => page.locator(`#stat-${name}`)

pageTest('each kind by a click, and REST beside them, on one WebSocket', async (t, { page, sockets }) => {
  await page.getByLabel('Request').fill('Grüße aus dem Browser')
  await page.getByRole('button', { name: 'Unary' }).click()
  await says(page.locator('#sync-output'), /^Grüße aus dem Browser$/)

  await page.locator('#collect-form').getByLabel('Messages').fill('20')
  await page.locator('#collect-form').getByLabel('Bytes each').fill('1000')
  await page.getByRole('button', { name: 'Collect' }).click()
  await says(page.locator('#send-output'), 'answer 20 20000 · trailer count 20')

  await page.locator('#repeat-form').getByLabel('Messages').fill('300')
  await page.getByLabel('Reader').selectOption('full speed')
  await page.getByRole('button', { name: 'Repeat' }).click()
  await says(page.locator('#recv-output'), '300 messages, every byte right · trailer sent 300')

  const chat = page.locator('#chat-log')
  for (const text of ['first', 'second']) {
    await page.locator('#chat-form').getByLabel('Message').fill(text)
    await page.getByRole('button', { name: 'Send' }).click()
    await chat.locator('.heard', { hasText: text }).waitFor()
  }
  await page.getByRole('button', { name: 'End', exact: true }).click()
  await says(page.locator('#bidi-output'), 'trailer echoed 2')
  t.same(await chat.locator('.said').allTextContents(), ['You: first', 'You: second'])

  await page.locator('#rest-form').getByLabel('Text').fill('a/b & ☃')
  await page.getByRole('button', { name: 'Fetch' }).click()
  await says(page.locator('#rest-output'), '200: a/b & ☃')

  t.equal(await lane(page, 'ok').count(), 4)
  t.equal(sockets.length, 1, 'one WebSocket for all of it')
  t.equal(await stat(page, 'sockets').innerText(), '1')
  await says(stat(page, 'server'), /^1 connection, 0 calls running$/)
})

pageTest('everything at once shares the one socket', async (t, { page, sockets, app }) => {
  // All streams have moved before any of them is over: they take turns. Looked at on every change, from before the
  // click on, so that a slow machine misses nothing.
  await page.evaluate(() => {
    const look = (): void => {
      const bars = [...document.querySelectorAll<HTMLProgressElement>('.lane:is([data-kind=recv], [data-kind=send], [data-kind=bidi])[data-state=running] progress')]
      if (document.body.dataset['allMoved'] === undefined && bars.length === 8 && bars.every((bar) => bar.value > 0)) document.body.dataset['allMoved'] = 'yes'
    }
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true })
  })
  await page.getByRole('button', { name: 'Run everything at once' }).click()
  await says(stat(page, 'running'), /^1[0-9]$/)
  await says(stat(page, 'server'), /^1 connection, 1[0-9] calls running$/)

  t.equal(await page.locator('.lane:is([data-kind=recv], [data-kind=send], [data-kind=bidi])').count(), 8)
  await page.waitForFunction(() => document.body.dataset['allMoved'] === 'yes')

  await says(stat(page, 'running'), /^0$/)
  t.equal(await lane(page, 'ok').count(), 12)
  t.same((await lane(page, 'failed').locator('.lane-status').allInnerTexts()).map((text) => text.replace(/ · .*/, '')).sort(), ['✕ DeadlineExceeded: deadline exceeded', '✕ NotFound: no such row'])
  t.match(await lane(page, 'canceled').locator('.lane-status').innerText(), '⊘ Canceled: canceled by the caller')
  t.equal(sockets.length, 1, 'one WebSocket for all of it')
  t.match(app.rpc.server.stats(), { connections: 1, connectionsTotal: 1, running: 0 })

  await page.getByRole('button', { name: 'Clear the ended' }).click()
  t.equal(await page.locator('.lane').count(), 0)
})

pageTest('errors and deadlines are shown', async (t, { page }) => {
  await page.getByLabel('Category').selectOption('7 PermissionDenied')
  await page.locator('#fail-form').getByLabel('Message').fill('not for you')
  await page.getByRole('button', { name: 'Fail' }).click()
  await says(page.locator('#error-output[data-state=failed]'), 'PermissionDenied: not for you')
  await says(lane(page, 'failed', 'Fail').locator('.lane-status'), '✕ PermissionDenied: not for you')

  await page.getByLabel('Sleep, ms').fill('abc')
  await page.getByRole('button', { name: 'Sleep' }).click()
  await says(page.locator('#sync-output[data-state=failed]'), 'InvalidArgument: the request must be a number from 0 to 60000')

  await page.getByLabel('Sleep, ms').fill('50000')
  await page.getByLabel('Deadline, ms').fill('30')
  await page.getByRole('button', { name: 'Sleep' }).click()
  await says(page.locator('#sync-output[data-state=failed]'), 'DeadlineExceeded')
})

pageTest('cancellation is shown, and reaches the handlers', async (t, { page, app, sockets }) => {
  await page.getByLabel('Sleep, ms').fill('60000')
  await page.getByRole('button', { name: 'Sleep', exact: true }).click()
  await page.getByRole('button', { name: 'Cancel Sleep, 60000 ms' }).click()
  await says(page.locator('#sync-output'), 'Canceled: canceled by the caller')
  await lane(page, 'canceled', 'Sleep').waitFor()

  await page.locator('#repeat-form').getByLabel('Messages').fill('100000')
  await page.getByRole('button', { name: 'Repeat', exact: true }).click()
  await page.getByRole('button', { name: 'Send' }).click()
  await page.locator('#chat-log .heard').waitFor()
  await page.getByRole('button', { name: 'Cancel all' }).click()
  await says(page.locator('#recv-output'), 'Canceled: canceled by the caller')
  await says(page.locator('#bidi-output'), 'Canceled: canceled by the caller')
  t.equal(await lane(page, 'canceled').count(), 3)
  t.equal(await page.locator('#cancel-all').isDisabled(), true)

  await page.getByRole('button', { name: 'Unary' }).click()
  await says(page.locator('#sync-output'), 'Hello from the browser')
  t.equal(app.rpc.server.stats().running, 0, 'no handler goes on')
  t.equal(sockets.length, 1, 'the connection outlives its calls')
})

pageTest('a dropped connection fails what runs, and can be opened again', async (t, { page, sockets }) => {
  await page.getByLabel('Sleep, ms').fill('60000')
  await page.getByRole('button', { name: 'Sleep', exact: true }).click()
  await page.getByRole('button', { name: 'Drop the connection' }).click()
  await says(page.locator('#sync-output[data-state=failed]'), 'Unavailable: dropped by this page')
  await says(page.locator('#badge[data-state=closed]'), 'Dropped by this page')

  await page.getByRole('button', { name: 'Unary' }).click()
  await says(page.locator('#sync-output[data-state=failed]'), 'Unavailable')

  await page.getByRole('button', { name: 'Connect again' }).click()
  await page.locator('#badge[data-state=open]').waitFor()
  await page.getByRole('button', { name: 'Unary' }).click()
  await says(page.locator('#sync-output[data-state=ok]'), 'Hello from the browser')
  t.equal(sockets.length, 2)
})

pageTest('a server that is closed in good order', async (t, { page, app, complaints }) => {
  await page.getByRole('button', { name: 'Send' }).click()
  await page.locator('#chat-log .heard').waitFor()
  const closing = app.close()
  await page.getByRole('button', { name: 'End', exact: true }).click()
  await says(page.locator('#bidi-output[data-state=ok]'), 'trailer echoed 1')
  await closing
  await says(page.locator('#badge[data-state=closed]'), 'The server closed the connection')
  await says(stat(page, 'server'), 'nothing: it does not answer')

  await page.getByRole('button', { name: 'Connect again' }).click()
  await says(page.locator('#badge[data-state=closed]'), 'Unavailable: connect failed')
  // The browser itself logs what it cannot reach.
  t.ok(complaints.length > 0 && complaints.every((text) => /ERR_CONNECTION_REFUSED/.test(text)), complaints.join('\n'))
  complaints.length = 0
})

pageTest('a server that is lost', async (t, { page, app }) => {
  await page.getByLabel('Sleep, ms').fill('60000')
  await page.getByRole('button', { name: 'Sleep', exact: true }).click()
  await says(stat(page, 'server'), '1 connection, 1 call running')
  for (const connection of app.rpc.server.connections) connection.connection.destroy()
  await says(page.locator('#badge[data-state=closed]'), 'Connection lost')
  await says(page.locator('#sync-output[data-state=failed]'), 'Unavailable')
})

pageTest('with the keyboard alone', async (t, { page }) => {
  await page.keyboard.press('Tab')
  t.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the calls')
  await page.getByLabel('Request').focus()
  await page.keyboard.press('Enter')
  await says(page.locator('#sync-output'), 'Hello from the browser')

  const unnamed = await page.evaluate(() => [...document.querySelectorAll('button, input, select, output, progress')]
    .filter((element) => element.getAttribute('aria-label') === null && (element as HTMLInputElement).labels?.length === 0 && element.textContent?.trim() === '')
    .map((element) => element.outerHTML))
  t.same(unnamed, [], 'every control has a name')
})

for (const [name, options] of Object.entries({
  narrow: { viewport: { width: 320, height: 640 } },
  dark: { colorScheme: 'dark', viewport: { width: 390, height: 844 } },
  'reduced motion': { reducedMotion: 'reduce' }
} satisfies Record<string, BrowserContextOptions>)) {
  pageTest(`${name}: it works and nothing sticks out`, async (t, { page }) => {
    await page.getByRole('button', { name: 'Run everything at once' }).click()
    await says(stat(page, 'running'), /^1[0-9]$/)
    await page.getByRole('button', { name: 'Cancel all' }).click()
    await says(stat(page, 'running'), /^0$/)
    t.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'no sideways scrolling')
  }, options)
}
