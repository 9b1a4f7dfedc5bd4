/** Runs the cells of one system and keeps what they give; after a failure with new processes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { openPair } from './child.mjs'
import { openProxy } from './proxy.mjs'
import { versionOf } from './systems.mjs'

const MAX_MESSAGES = 3_000_000
const MAX_STREAM_BYTES = 2 ** 31
/** How often a system whose cell failed gets new processes. */
const MAX_REOPENED = 3

/** One system and what it gave. */
export class Runner {
  #system
  #results
  #settings
  #log
  #pair
  #kinds = []
  #reopened = 0
  /** Messages of each stream cell. */
  #counts = new Map()
  /** Cells that were warmed up, for new processes; those that failed are not run again. */
  #warmed = []
  #failed = new Set()

  /** @param log told what is opened and what fails. */
  constructor (system, results, settings, log) {
    this.#system = system
    this.#results = results
    this.#settings = settings
    this.#log = log
  }

  /** Starts both processes and checks every kind of answer. */
  async open () {
    const { id } = this.#system
    return await this.#attempt('verify', async () => {
      this.#pair = await openPair(this.#system, { isHot: true, isPinned: this.#settings.isPinned })
      const { client, port } = this.#pair
      const { packages, notes } = await client.ask('connect', { port, timeout: 15_000 })
      this.#kinds = await client.ask('verify', { timeout: 30_000 })
      const versions = packages.map((name) => `${name} ${versionOf(name)}`).join(', ')
      if (this.#results.systems[id] === undefined) this.#log(`${id}: ${versions}; verified ${this.#kinds.join(', ')}`)
      this.#results.systems[id] ??= { versions, notes, kinds: this.#kinds, cells: {} }
      return true
    }) === true
  }

  async close () {
    await this.#pair?.end()
    this.#pair = undefined
  }

  async warmUp (cell) {
    if (!this.#runs(cell) || !await this.#isOpen()) return
    await this.#attempt(`warm-up of ${cell.id}`, async () => { await this.#warm(cell) }, cell)
    this.#warmed.push(cell)
  }

  async #warm (cell) {
    const { client } = this.#pair
    if (cell.group === 'unary') await client.ask('unary', { ...cell, ms: cell.warm * 1000 * this.#settings.warm, warmMs: 0 })
    else if (cell.group === 'stream') await this.#sizeStream(cell)
    else await client.ask('callsBeside', { ...cell, ms: 100 * this.#settings.warm })
  }

  async measure (cell, round) {
    if (!this.#runs(cell) || !await this.#isOpen()) return
    await this.#attempt(cell.id, async () => {
      const { client } = this.#pair
      const { ms, warmMs } = this.#settings
      if (cell.group === 'hol') return this.#save(cell, { round, ...await client.ask('callsBeside', { ...cell, ms }) })
      const measured = cell.group === 'unary'
        ? await client.ask('unary', { ...cell, ms, warmMs })
        : await client.ask('stream', { ...cell, count: this.#counts.get(cell.id) ?? 1000 })
      this.#save(cell, { round, ...measured, serverCpu: this.#pair.serverCpu / measured.n })
    }, cell)
  }

  /** What wants new processes each time. */
  async measureCold (cell, round) {
    if (!this.#runs(cell)) return
    await this.#attempt(cell.id, async () => {
      this.#pair = await openPair(this.#system, { isHot: false, isPinned: this.#settings.isPinned })
      const measured = cell.id === 'conn' ? await this.#connections() : await this.#stalled(cell)
      this.#save(cell, { round, ...measured })
    }, cell)
    await this.close()
  }

  #runs ({ id, kind }) {
    return !this.#failed.has(id) && (this.#system.cells?.includes(id) ?? true) && (kind === undefined || this.#kinds.includes(kind))
  }

  /** Whether there are processes to ask; after a failure there are new ones, as warm as the old ones, a few times. */
  async #isOpen () {
    if (this.#pair !== undefined) return true
    if (this.#reopened++ >= MAX_REOPENED || !await this.open()) return false
    for (const cell of this.#warmed) if (this.#runs(cell)) await this.#attempt(`warm-up of ${cell.id}`, async () => { await this.#warm(cell) }, cell)
    return this.#pair !== undefined
  }

  #save ({ id }, measured) { (this.#results.systems[this.#system.id].cells[id] ??= []).push(measured) }

  async #attempt (what, run, cell) {
    try {
      return await run()
    } catch (error) {
      const { id } = this.#system
      this.#failed.add(cell?.id)
      this.#results.failed.push({ system: id, what, error: error.message })
      this.#log(`FAILED: ${id}, ${what}: ${error.message}`)
      await this.close()
    }
  }

  /** Finds how many messages take about as long as wanted, and warms up by that. */
  async #sizeStream (cell) {
    const most = Math.min(MAX_MESSAGES, MAX_STREAM_BYTES / cell.size)
    const { warm, streamMs } = this.#settings
    let count = 1000
    for (const ms of [100 * warm, 200 * warm, streamMs]) {
      const { rate } = await this.#pair.client.ask('stream', { ...cell, count })
      count = Math.max(1000, Math.min(most, Math.round(rate * ms / 1e6) * 1000))
    }
    this.#counts.set(cell.id, count)
  }

  async #connections () {
    const { client, server, port } = this.#pair
    const { connections, timedConnections } = this.#settings
    const open = (count) => client.ask('openMany', { port, count, atATime: 50 })
    // The first ones pay for what all share.
    await open(100)
    await client.ask('closeHeld')
    await sleep(200)
    const serverBefore = await server.ask('memory')
    const clientBefore = await client.ask('memory')
    const cpuBefore = await server.ask('cpu')
    const timed = await open(timedConnections)
    const cpuAfter = await server.ask('cpu')
    if (connections > timedConnections) await open(connections - timedConnections)
    await sleep(300)
    const serverAfter = await server.ask('memory')
    const clientAfter = await client.ask('memory')
    return {
      ...timed,
      serverCpu: (cpuAfter - cpuBefore) / timedConnections,
      rss: (serverAfter.rss - serverBefore.rss) / connections,
      heap: (serverAfter.heap - serverBefore.heap) / connections,
      external: (serverAfter.external - serverBefore.external) / connections,
      clientRss: (clientAfter.rss - clientBefore.rss) / connections
    }
  }

  async #stalled ({ count, size }) {
    const { client, server, port } = this.#pair
    const proxy = await openProxy(port)
    try {
      await client.ask('connect', { port: proxy.port })
      await client.ask('unary', { size: 16, inFlight: 1, ms: 50, warmMs: 0 })
      await server.ask('produceFresh', { size })
      const before = await server.ask('memory')
      proxy.stopReading()
      await client.ask('startStream', { count, size })
      const produced = await this.#standstill()
      const after = await server.ask('memory')
      return { produced, held: after.heap + after.external - before.heap - before.external, rss: after.rss - before.rss }
    } finally {
      proxy.close()
    }
  }

  /** How much the server has produced when it produces no more. */
  async #standstill () {
    let produced = 0
    for (let still = 0; still < 3;) {
      await sleep(200)
      const now = await this.#pair.server.ask('produced')
      still = now === produced && now > 0 ? still + 1 : 0
      produced = now
    }
    return produced
  }
}
