/** A Chromium and pages in it, for tests. Knows nothing of what the pages show. */
import { chromium } from 'playwright-core'
import type { Browser, BrowserContextOptions, Page, WebSocket } from 'playwright-core'
import type { Test } from 'tap'
import { findChromium } from '../../scripts/find-chromium.mjs'

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** The browser that CHROMIUM_PATH names, or one that is installed; closed when the test is over. */
export async function launch (t: Test): Promise<Browser> {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error('no Chromium: install one, or name it in CHROMIUM_PATH')
  const browser = await chromium.launch({ executablePath, args: ARGS })
  t.teardown(() => browser.close())
  return browser
}

/** A page, the WebSockets that it opens and what it complains about. */
export interface Watched {
  readonly page: Page
  readonly sockets: readonly WebSocket[]
  /** Errors and warnings of the console, and exceptions that nobody caught. */
  readonly complaints: string[]
}

/** Opens a page. A test that ends well looks at its complaints. */
export async function openPage (t: Test, browser: Browser, options: BrowserContextOptions = {}): Promise<Watched> {
  const page = await browser.newPage(options)
  const sockets: WebSocket[] = []
  const complaints: string[] = []
  page.on('websocket', (socket) => { sockets.push(socket) })
  page.on('pageerror', (error) => { complaints.push(String(error)) })
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  t.teardown(() => page.close())
  return { page, sockets, complaints }
}
