// @ts-check
/** One call as the page shows it: name, trace, progress, what became of it, and a button that cancels it. */
import { RpcError, categoryName } from 'fastify-claw/client'
import { Trace } from './trace.js'

/** @typedef {'sync' | 'send' | 'recv' | 'bidi' | 'error'} Kind */

const SHOW_EVERY_MS = 60

export class Lane {
  element = document.createElement('li')
  #startedAt = performance.now()
  #shownAt = 0
  #total
  #text = 'starting'
  #trace
  #progress = document.createElement('progress')
  #status = make('p', 'lane-status')
  #cancel = document.createElement('button')

  /**
   * @param {{ kind: Kind, name: string, detail: string, total: number }} about total 0: nobody knows how many.
   * @param {AbortController} controller cancels the call.
   */
  constructor ({ kind, name, detail, total }, controller) {
    this.#total = total
    this.element.className = 'lane'
    this.element.dataset.kind = kind
    this.element.dataset.name = name
    this.element.dataset.state = 'running'

    const head = make('p', 'lane-name')
    head.append(make('span', 'chip', kind), make('strong', '', name))
    const canvas = document.createElement('canvas')
    canvas.className = 'trace'
    canvas.ariaHidden = 'true'
    this.#progress.ariaLabel = `Progress of ${name}, ${detail}`
    if (total > 0) {
      this.#progress.max = total
      this.#progress.value = 0
    }
    this.#cancel.type = 'button'
    this.#cancel.className = 'small'
    this.#cancel.textContent = 'Cancel'
    this.#cancel.ariaLabel = `Cancel ${name}, ${detail}`
    this.#cancel.addEventListener('click', () => controller.abort())

    this.element.append(head, make('p', 'lane-detail', detail), canvas, this.#progress, this.#status, this.#cancel)
    this.#trace = new Trace(canvas)
    this.#show()
  }

  /** A message went out or came in. @param {boolean} isSent @param {number} bytes */
  message (isSent, bytes) { this.#trace.add(isSent, bytes) }

  /** How far it is. @param {number} done @param {string} text */
  advance (done, text) {
    if (this.#total > 0) this.#progress.value = done
    this.#text = text
    const now = performance.now()
    if (now - this.#shownAt < SHOW_EVERY_MS) return
    this.#shownAt = now
    this.#show()
  }

  /** @param {string} text */
  succeed (text) {
    this.#progress.value = this.#progress.max
    this.#end('ok', text)
  }

  /** @param {RpcError} error */
  fail (error) {
    this.#progress.value = this.#progress.position < 0 ? 0 : this.#progress.value
    this.#end(categoryName(error.category) === 'Canceled' ? 'canceled' : 'failed', describe(error))
  }

  /** @param {'ok' | 'canceled' | 'failed'} state @param {string} text */
  #end (state, text) {
    this.element.dataset.state = state
    this.#text = text
    this.#cancel.remove()
    this.#show()
  }

  #show () {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1)
    const sign = { ok: '✓ ', failed: '✕ ', canceled: '⊘ ', running: '' }[this.element.dataset.state ?? 'running']
    this.#status.textContent = `${sign}${this.#text} · ${seconds}\u00a0s`
  }
}

/** An error as people read it. @param {unknown} error */
export function describe (error) {
  return RpcError.is(error) ? `${categoryName(error.category)}: ${error.message}` : String(error)
}

/** @param {number} bytes */
export function sizeText (bytes) {
  if (bytes < 1024) return `${bytes} B`
  return bytes < 1024 * 1024 ? `${trim(bytes / 1024)} KiB` : `${trim(bytes / 1024 / 1024)} MiB`
}

/** @param {number} value */
function trim (value) { return value.toFixed(value < 100 ? 1 : 0).replace(/\.0$/, '') }

/** @param {string} tag @param {string} className @param {string} [text] */
export function make (tag, className, text = '') {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.textContent = text
  return element
}
