/**
 * The healthy: bidirectional streams that each send a small message every so often, evenly spread, and want it back,
 * in order and unchanged. Open loop: a stream sends when it is its turn, whether the last echo has come or not.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from '../system/ws.mjs'
import { work } from '../system/worker.mjs'
import { load } from './dist.mjs'

const { RpcError, categoryName } = await load('errors.js')
const { connect } = await load('client/index.js')

const MESSAGE_BYTES = 16
/** How long the last echoes may take. */
const LAST_ECHOES_MS = 10_000

class HealthyStream {
  sent = 0
  received = 0
  wrong = 0
  /** Why it ended before it was told to. */
  failure
  #isEnding = false
  #chat
  #latencies

  constructor (client, latencies) {
    this.#chat = client.biDir('fault', 'S', 'Chat')
    this.#latencies = latencies
    this.over = this.#receive()
  }

  ping () {
    if (this.failure !== undefined || this.#isEnding) return
    const message = Buffer.alloc(MESSAGE_BYTES)
    message.writeUInt32LE(this.sent++, 0)
    message.writeDoubleLE(performance.now(), 8)
    this.#chat.send(message).catch(() => {}) // told by `ended`
  }

  end () {
    this.#isEnding = true
    this.#chat.closeSend()
  }

  async #receive () {
    const messages = this.#chat.recv()
    try {
      for await (const bytes of messages) {
        const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
        if (message.length !== MESSAGE_BYTES || message.readUInt32LE(0) !== this.received) this.wrong++
        this.received++
        this.#latencies.push(performance.now() - message.readDoubleLE(8))
      }
    } catch { /* told by `ended` */ }
    const error = await this.#chat.ended
    if (error !== undefined || !this.#isEnding) this.failure = RpcError.is(error) ? `${categoryName(error.category)}: ${error.message}` : 'it ended by itself'
  }
}

const streams = []
const latencies = []
/** By how much each message was sent too late, which is this process's own fault. */
const delays = []
let ticker

/** Sends what is due. */
function startTicker (periodMs) {
  const startedAt = performance.now()
  let turn = 0
  ticker = setInterval(() => {
    const now = performance.now()
    for (;;) {
      const dueAt = startedAt + turn * periodMs / streams.length
      if (dueAt > now) return
      delays.push(now - dueAt)
      streams[turn % streams.length].ping()
      turn++
    }
  }, 1)
}

const sum = (name) => streams.reduce((total, stream) => total + stream[name], 0)

function quantiles (values) {
  const sorted = Float64Array.from(values.splice(0)).sort()
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  return { count: sorted.length, median: at(0.5), p99: at(0.99), max: at(1) }
}

function totals () {
  const failures = {}
  for (const { failure } of streams) if (failure !== undefined) failures[failure] = (failures[failure] ?? 0) + 1
  return { sent: sum('sent'), received: sum('received'), wrong: sum('wrong'), failures }
}

work({
  async start ({ port, connections, streamsEach, periodMs }) {
    for (let i = 0; i < connections; i++) {
      const client = await connect(`ws://127.0.0.1:${port}/rpc`, { WebSocket, webSocketOptions: { perMessageDeflate: false } })
      for (let n = 0; n < streamsEach; n++) streams.push(new HealthyStream(client, latencies))
    }
    startTicker(periodMs)
    return true
  },

  /** What was measured since the last time, and the totals so far. */
  take: () => ({ latency: quantiles(latencies), delay: quantiles(delays), ...totals() }),

  /** Ends every stream as an honest caller does, and waits for what is under way. */
  async end () {
    clearInterval(ticker)
    for (const stream of streams) stream.end()
    const patience = new AbortController()
    await Promise.race([Promise.all(streams.map(({ over }) => over)), sleep(LAST_ECHOES_MS, undefined, { signal: patience.signal }).catch(() => {})])
    patience.abort()
    return totals()
  }
}, { asksForUnhandled: true })
