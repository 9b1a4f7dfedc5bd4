import t from 'tap'
import { startQuickStart } from '../helpers/readme.js'
import { launch, openPage } from './chromium.js'

const browser = await launch(t)

t.test('the page of the quick start', async (t) => {
  const { url } = await startQuickStart(t)
  const { page, sockets, complaints } = await openPage(t, browser)
  // The quick start has no icon; a browser would complain about that.
  await page.route('**/favicon.ico', (route) => route.fulfill({ status: 204 }))
  await page.goto(url)
  await page.locator('body', { hasText: 'lift-off' }).waitFor()
  t.equal(await page.locator('body').innerText(), 'Hello, browser! 3 2 1 lift-off')
  t.equal(sockets.length, 1)
  t.same(complaints, [])
})
