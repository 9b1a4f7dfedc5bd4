// @ts-check
/* global requestAnimationFrame, Option */
/** Wires the page together: the connection, the forms, the lanes. The calls themselves are in calls.js. */
import { Category, RpcError, connect } from 'fastify-claw/client'
import * as calls from './calls.js'
import { Lane, describe, make, sizeText } from './lane.js'
import { MeteredWebSocket, meter } from './meter.js'
import { Trace } from './trace.js'

/** @typedef {import('./lane.js').Kind} Kind */

const MAX_LANES = 60

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
const byId = (id) => /** @type {T} */ (document.getElementById(id))
/** @param {string} id */
const button = (id) => /** @type {HTMLButtonElement} */ (byId(id))

/** @type {import('fastify-claw/client').Client | undefined} */
let client
/** @type {Set<AbortController>} */
const running = new Set()
let ended = 0
let isDropped = false

// --- the connection

async function open () {
  setBadge('connecting', 'Connecting')
  button('reconnect').hidden = true
  isDropped = false
  try {
    client = await connect('/rpc', { WebSocket: MeteredWebSocket })
  } catch (error) {
    return lost(describe(error))
  }
  setBadge('open', 'Connected: 1 WebSocket')
  // A first call soon after connecting is good manners: the server closes connections that nobody uses
  // (handshakeTimeoutMs). How it ends does not matter here; `closed` tells what matters.
  client.sync('example', 'Echo', 'Unary').call(new Uint8Array()).catch(() => {})
  for (const id of ['run-all', 'drop']) button(id).disabled = false
  showStats()
  const error = await client.closed
  if (isDropped) lost('Dropped by this page')
  else lost(error === undefined ? 'The server closed the connection' : `Connection lost: ${error.message}`)
}

/** @param {string} text */
function lost (text) {
  setBadge('closed', text)
  announce(text)
  button('reconnect').hidden = false
  for (const id of ['run-all', 'drop']) button(id).disabled = true
}

/** @param {'connecting' | 'open' | 'closed'} state @param {string} text */
function setBadge (state, text) {
  byId('badge').dataset.state = state
  byId('badge-text').textContent = text
}

// --- one call, one lane

/**
 * Runs a call in a lane of its own.
 * @param {{ kind: Kind, name: string, detail: string, total?: number, cancelAfterMs?: number, output?: HTMLElement }} about
 * @param {(client: import('fastify-claw/client').Client, report: calls.Report, signal: AbortSignal) => Promise<string>} call
 */
async function run ({ kind, name, detail, total = 0, cancelAfterMs, output }, call) {
  if (client === undefined) return
  const controller = new AbortController()
  const lane = new Lane({ kind, name, detail, total }, controller)
  byId('lanes').prepend(lane.element)
  running.add(controller)
  if (cancelAfterMs !== undefined) setTimeout(() => controller.abort(), cancelAfterMs)
  tell(output, 'running', `${name} is running`)
  showStats()
  try {
    const text = await call(client, lane, controller.signal)
    lane.succeed(text)
    tell(output, 'ok', text)
  } catch (error) {
    const text = describe(error)
    lane.fail(RpcError.is(error) ? error : new RpcError(Category.Unknown, text))
    tell(output, 'failed', text)
  }
  running.delete(controller)
  ended++
  trimLanes()
  showStats()
}

/** @param {HTMLElement | undefined} output @param {string} state @param {string} text */
function tell (output, state, text) {
  if (output === undefined) return
  output.dataset.state = state
  output.textContent = text
}

function trimLanes () {
  const over = byId('lanes').querySelectorAll('.lane:not([data-state=running])')
  for (const element of [...over].slice(MAX_LANES)) element.remove()
}

/** @param {string} text */
function announce (text) { byId('announce').textContent = text }

// --- the numbers

const wire = new Trace(/** @type {HTMLCanvasElement} */ (byId('wire')))
meter.onFrame = (isSent, bytes) => {
  wire.add(isSent, bytes)
  showStats()
}

let isStatsDue = false

/** Shows the numbers at the next frame, however often it is asked to. */
function showStats () {
  if (isStatsDue) return
  isStatsDue = true
  requestAnimationFrame(() => {
    isStatsDue = false
    byId('stat-sockets').textContent = String(meter.sockets)
    byId('stat-running').textContent = String(running.size)
    byId('stat-ended').textContent = String(ended)
    byId('stat-out').textContent = `${sizeText(meter.bytesOut)} · ${meter.framesOut} frames`
    byId('stat-in').textContent = `${sizeText(meter.bytesIn)} · ${meter.framesIn} frames`
    button('cancel-all').disabled = running.size === 0
    button('clear').disabled = byId('lanes').querySelector('.lane:not([data-state=running])') === null
    byId('lanes-empty').hidden = byId('lanes').childElementCount > 0
    askServer()
  })
}

const ASK_EVERY_MS = 500
let isAsking = false

/** What the server counts, over plain HTTP: asked for while something changes. */
async function askServer () {
  if (isAsking) return
  isAsking = true
  const seen = meter.framesOut + ended
  try {
    const response = await fetch('/api/stats')
    const { connections, running } = await response.json()
    byId('stat-server').textContent = `${connections} connection${connections === 1 ? '' : 's'}, ${running} call${running === 1 ? '' : 's'} running`
  } catch {
    byId('stat-server').textContent = 'nothing: it does not answer'
  }
  await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
  isAsking = false
  if (seen !== meter.framesOut + ended || running.size > 0) showStats()
}

// --- the forms

/** @param {string} id @param {(field: (name: string) => string) => unknown} submit */
function onSubmit (id, submit) {
  const form = /** @type {HTMLFormElement} */ (byId(id))
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const data = new FormData(form)
    submit((name) => String(data.get(name) ?? ''))
  })
}

onSubmit('unary-form', (field) => run(
  { kind: 'sync', name: 'Unary', detail: quote(field('text')), output: byId('sync-output') },
  (client, report, signal) => calls.unary(client, report, signal, field('text'))
))

onSubmit('sleep-form', (field) => {
  const ms = field('ms')
  const timeoutMs = field('timeout') === '' ? undefined : Number(field('timeout'))
  const detail = timeoutMs === undefined ? `${ms} ms` : `${ms} ms, deadline ${timeoutMs} ms`
  return run({ kind: 'sync', name: 'Sleep', detail, total: Number(ms) || 0, output: byId('sync-output') },
    (client, report, signal) => calls.sleep(client, report, signal, ms, timeoutMs))
})

onSubmit('collect-form', (field) => startCollect(Number(field('count')), Number(field('size')), Number(field('pace')), byId('send-output')))
onSubmit('repeat-form', (field) => startRepeat(Number(field('count')), Number(field('size')), Number(field('pace')), byId('recv-output')))

onSubmit('fail-form', (field) => startFail(Number(field('category')), field('message'), byId('error-output')))

onSubmit('rest-form', async (field) => {
  const output = byId('rest-output')
  try {
    const response = await fetch(`/api/echo/${encodeURIComponent(field('text'))}`)
    tell(output, response.ok ? 'ok' : 'failed', `${response.status}: ${await response.text()}`)
  } catch (error) {
    tell(output, 'failed', describe(error))
  }
})

/** @param {number} count @param {number} size @param {number} pace @param {HTMLElement} [output] */
function startCollect (count, size, pace, output) {
  return run({ kind: 'send', name: 'Collect', detail: `${count} × ${sizeText(size)}`, total: count, ...(output && { output }) },
    (client, report, signal) => calls.collect(client, report, signal, count, size, pace))
}

/** @param {number} count @param {number} size @param {number} pace @param {HTMLElement} [output] */
function startRepeat (count, size, pace, output) {
  return run({ kind: 'recv', name: 'Repeat', detail: `${count} × ${sizeText(size)}`, total: count, ...(output && { output }) },
    (client, report, signal) => calls.repeat(client, report, signal, count, size, pace))
}

/** @param {number} count @param {number} size @param {number} pace */
function startBiDir (count, size, pace) {
  return run({ kind: 'bidi', name: 'BiDi', detail: `${count} × ${sizeText(size)}`, total: count },
    (client, report, signal) => calls.biDir(client, report, signal, count, size, pace))
}

/** @param {number} category @param {string} message @param {HTMLElement} [output] */
function startFail (category, message, output) {
  return run({ kind: 'error', name: 'Fail', detail: quote(message), ...(output && { output }) },
    (client, report, signal) => calls.fail(client, report, signal, category, message))
}

/** @param {string} text */
function quote (text) { return text.length > 40 ? `“${text.slice(0, 39)}…”` : `“${text}”` }

// --- the conversation: one stream for as long as it lasts

/** @type {ReturnType<typeof calls.conversation> | undefined} */
let conversation

onSubmit('chat-form', async (field) => {
  const text = field('text')
  if (client === undefined || text === '') return
  if (conversation === undefined) {
    bubble('note', 'stream opened')
    run({ kind: 'bidi', name: 'BiDi', detail: 'conversation', output: byId('bidi-output') }, async (client, report, signal) => {
      const current = conversation = calls.conversation(client, report, signal, (heard) => bubble('heard', heard))
      button('chat-end').disabled = false
      try {
        return await current.listen()
      } catch (error) {
        bubble('note', describe(error))
        throw error
      } finally {
        conversation = undefined
        button('chat-end').disabled = true
      }
    })
  }
  bubble('said', text)
  // How the stream failed is shown by its lane.
  await conversation?.say(text).catch(() => {})
})

button('chat-end').addEventListener('click', () => {
  conversation?.end()
  bubble('note', 'no more from here')
})

/** @param {'said' | 'heard' | 'note'} who @param {string} text */
function bubble (who, text) {
  const log = byId('chat-log')
  const item = make('li', who)
  if (who !== 'note') item.append(make('span', 'visually-hidden', who === 'said' ? 'You: ' : 'Server: '))
  item.append(text)
  log.append(item)
  while (log.childElementCount > 100) log.firstElementChild?.remove()
  log.scrollTop = log.scrollHeight
}

// --- the buttons

/** Every kind, in several sizes and speeds, with an error, a deadline and a cancellation among them. */
function runAll () {
  // The newest lane stands on top, so the streams, which have most to show, come last.
  startFail(Category.NotFound, 'no such row')
  run({ kind: 'sync', name: 'Sleep', detail: '9 s, canceled after 3.5 s', total: 9000, cancelAfterMs: 3500 }, (client, report, signal) => calls.sleep(client, report, signal, '9000'))
  run({ kind: 'sync', name: 'Sleep', detail: '9 s, deadline 2.5 s', total: 9000 }, (client, report, signal) => calls.sleep(client, report, signal, '9000', 2500))
  for (const ms of ['1500', '3000', '4500']) {
    run({ kind: 'sync', name: 'Sleep', detail: `${ms} ms`, total: Number(ms) }, (client, report, signal) => calls.sleep(client, report, signal, ms))
  }
  run({ kind: 'sync', name: 'Unary', detail: '150 small calls', total: 150 }, (client, report, signal) => calls.unaries(client, report, signal, 150))
  startBiDir(400, 16, 5)
  startBiDir(60, 65_536, 60)
  startBiDir(200, 1024, 12)
  startCollect(40, 262_144, 90)
  startCollect(200, 16_384, 15)
  startRepeat(60, 524_288, 60)
  startRepeat(300, 8192, 10)
  startRepeat(150, 65_536, 25)
  announce('15 calls of all kinds are running')
}

button('run-all').addEventListener('click', runAll)
button('cancel-all').addEventListener('click', () => { for (const controller of running) controller.abort() })
button('drop').addEventListener('click', () => {
  isDropped = true
  client?.destroy(new RpcError(Category.Unavailable, 'dropped by this page'))
})
button('reconnect').addEventListener('click', open)
button('clear').addEventListener('click', () => {
  for (const element of byId('lanes').querySelectorAll('.lane:not([data-state=running])')) element.remove()
  showStats()
})

for (const [name, number] of Object.entries(Category)) {
  if (number !== Category.OK) byId('categories').append(new Option(`${number} ${name}`, String(number), false, number === Category.NotFound))
}

open()
