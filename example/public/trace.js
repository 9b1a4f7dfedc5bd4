// @ts-check
/* global requestAnimationFrame, matchMedia, ResizeObserver, devicePixelRatio, getComputedStyle */
/** Draws what was sent and received in the last seconds: bars above and below a line, on a canvas. */

const WINDOW_MS = 8000
const BAR_PX = 3
const FRAME_MS = 33
const MERGE_MS = 5

const isStill = matchMedia('(prefers-reduced-motion: reduce)')

/** @type {Set<Trace>} */
const moving = new Set()
let drawnAt = 0
let isScheduled = false

/** Draws all that moved in the window; with reduced motion once a second instead of continuously. */
function schedule () {
  if (isScheduled) return
  isScheduled = true
  if (isStill.matches) setTimeout(draw, 1000)
  else requestAnimationFrame(draw)
}

function draw () {
  isScheduled = false
  const now = performance.now()
  if (now - drawnAt >= FRAME_MS) {
    drawnAt = now
    for (const trace of moving) if (!trace.draw(now)) moving.delete(trace)
  }
  if (moving.size > 0) schedule()
}

export class Trace {
  /** @type {{ at: number, isSent: boolean, bytes: number }[]} */
  #events = []
  #canvas

  /** @param {HTMLCanvasElement} canvas */
  constructor (canvas) {
    this.#canvas = canvas
    new ResizeObserver(() => this.draw(performance.now())).observe(canvas)
  }

  /**
   * @param {boolean} isSent
   * @param {number} bytes
   */
  add (isSent, bytes) {
    const at = performance.now()
    // At full speed there are thousands of messages in the time of one column.
    const last = this.#events.at(-1)
    if (last !== undefined && last.isSent === isSent && at - last.at < MERGE_MS) last.bytes += bytes
    else this.#events.push({ at, isSent, bytes })
    moving.add(this)
    schedule()
  }

  /** Answers whether there is anything left to move. @param {number} now */
  draw (now) {
    const canvas = this.#canvas
    const scale = devicePixelRatio
    const width = canvas.clientWidth
    const height = canvas.clientHeight
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale)
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale)
    const context = canvas.getContext('2d')
    if (context === null) return false

    const first = this.#events.findIndex(({ at }) => now - at < WINDOW_MS)
    this.#events.splice(0, first === -1 ? this.#events.length : first)

    const columns = Math.max(1, Math.floor(width / BAR_PX))
    const up = new Float64Array(columns)
    const down = new Float64Array(columns)
    const step = WINDOW_MS / columns
    // Columns stand on absolute time, so that bars move along and do not flicker.
    const last = Math.floor(now / step)
    for (const { at, isSent, bytes } of this.#events) {
      const column = columns - 1 - (last - Math.floor(at / step))
      const bars = isSent ? up : down
      if (column >= 0) bars[column] = (bars[column] ?? 0) + bytes + 24
    }

    const middle = Math.round(height / 2)
    context.setTransform(scale, 0, 0, scale, 0, 0)
    context.clearRect(0, 0, width, height)
    const style = getComputedStyle(canvas)
    const upColor = style.getPropertyValue('--up')
    const downColor = style.getPropertyValue('--down')
    for (let column = 0; column < columns; column++) {
      const x = column * BAR_PX
      const above = barHeight(up[column] ?? 0, middle)
      const below = barHeight(down[column] ?? 0, middle)
      context.fillStyle = upColor
      if (above > 0) context.fillRect(x, middle - above, BAR_PX - 1, above)
      context.fillStyle = downColor
      if (below > 0) context.fillRect(x, middle, BAR_PX - 1, below)
    }
    return this.#events.length > 0
  }
}

/**
 * From bytes in a column to pixels: logarithmic, for a ping and a mebibyte must both be seen.
 * @param {number} bytes
 * @param {number} most
 */
function barHeight (bytes, most) {
  return bytes === 0 ? 0 : Math.max(2, Math.min(1, Math.log2(bytes / 16) / 16) * (most - 1))
}
