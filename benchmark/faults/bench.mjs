/** One run: three processes, the phases one after the other, and what came of it. */
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openProcess } from '../system/child.mjs'
import { DRAIN } from './list.mjs'

/** Some connections with several streams each; a stream sends once in each period. */
export const HEALTHY = { connections: 20, streamsEach: 10, periodMs: 50 }
const CALM_MS = 5000
const CALM_AGAIN_MS = 3000
/** Each attack once at first, so that what it leaves behind for good (code, pools) is there before memory is measured. */
const REHEARSAL_MS = 100
/** For what an attack leaves behind for a moment. */
const SETTLE_MS = 100
/** When the shutdown begins, and when the healthy end their streams, both after the attackers have begun. */
const DRAIN_AFTER_MS = 400
const END_AFTER_MS = 800
const DRAIN_ATTACK_MS = 1200

/** Three processes, what they are made to do, and what came of it. */
export class Bench {
  phases = []
  memory = []
  drain
  /** What makes the command fail. */
  problems = []
  width
  #isPinned
  #profiles
  #log
  #processes = []
  #wrong = 0
  #failures = {}

  /** @param profiles the folder for CPU profiles of the server, one for each attack; undefined for none. */
  constructor ({ isPinned, width, profiles, log }) {
    this.#isPinned = isPinned
    this.#profiles = profiles
    this.#log = log
    this.width = width
  }

  async open () {
    const start = (script, core) => {
      const child = openProcess(`../faults/${script}.mjs`, { core: Math.min(core, cpus().length - 1), isPinned: this.#isPinned })
      this.#processes.push([script, child])
      return child
    }
    this.server = start('server', 0)
    this.healthy = start('healthy', 1)
    this.attackers = start('attackers', 2)
    this.port = await this.server.ask('listen')
    await this.healthy.ask('start', { port: this.port, ...HEALTHY })
  }

  end () { return Promise.all(this.#processes.map(([, child]) => child.end())) }

  async run (attacks, ms) {
    this.#log(`rehearsal, ${attacks.length} attacks`)
    for (const { name } of attacks) await this.#attack(name, REHEARSAL_MS)
    await sleep(SETTLE_MS)
    await this.#remember('start')
    await this.healthy.ask('take')
    await this.server.ask('busy')
    await this.#phase('calm', () => sleep(CALM_MS))
    for (const { name, title, unit, maxSeconds = Infinity } of attacks) {
      await this.#phase(title, () => this.#attack(name, Math.min(ms, maxSeconds * 1000)), { name, unit })
    }
    await this.#phase('calm again', () => sleep(CALM_AGAIN_MS))
    await this.#remember('end')
    await this.#phase(DRAIN.title, () => this.#drained())
    this.#judge()
  }

  /** What happens between two phases (the server may still be at work on the last one) counts for the second. */
  async #phase (title, run, { name, unit } = {}) {
    this.#log(title)
    const profiles = this.#profiles !== undefined && name !== undefined
    if (profiles) await this.server.ask('profile')
    const attack = await run()
    await sleep(SETTLE_MS)
    // The server first: it answers when it is done with what the attack has left.
    const busy = await this.server.ask('busy')
    const healthy = await this.healthy.ask('take')
    if (profiles) await this.server.ask('profile', { path: join(this.#profiles, `${name}.cpuprofile`) })
    this.phases.push({ title, unit, ...healthy, lost: this.#newlyWrong(healthy), busy, attack })
    await this.#collectUnhandled()
  }

  /** Messages that came wrong, or whose stream had ended, since the last time. What is under way is not lost yet. */
  #newlyWrong ({ wrong, failures, sent, received }) {
    const isBroken = Object.keys(failures).length > 0
    const now = wrong + (isBroken ? sent - received : 0)
    const lost = Math.max(0, now - this.#wrong)
    this.#wrong = now
    this.#failures = failures
    return lost
  }

  #attack (name, ms) { return this.attackers.ask('attack', { name, port: this.port, ms, width: this.width, timeout: ms + 30_000 }) }

  async #drained () {
    const attacking = this.#attack(DRAIN.name, DRAIN_ATTACK_MS)
    await sleep(DRAIN_AFTER_MS)
    await this.server.ask('drain')
    await sleep(END_AFTER_MS - DRAIN_AFTER_MS)
    const last = await this.healthy.ask('end')
    const attack = await attacking
    this.drain = { ...await this.server.ask('drained'), unanswered: last.sent - last.received }
    return attack
  }

  async #remember (when) {
    const stats = await this.server.ask('stats')
    this.memory.push({ when, ...await this.server.ask('memory'), connections: stats.connections, sessions: stats.sessions, running: stats.running })
  }

  async #collectUnhandled () {
    for (const [name, child] of this.#processes) {
      const errors = await child.ask('unhandled')
      if (errors.length > 0) this.problems.push(`${errors.length} unhandled rejections in ${name}, the first: ${errors[0]}`)
    }
  }

  #judge () {
    const { unanswered, stats } = this.drain
    const lost = this.phases.reduce((sum, phase) => sum + phase.lost, 0)
    if (lost > 0 || unanswered > 0) this.problems.push(`${lost} messages of the healthy lost or wrong, ${unanswered} without an echo at the end`)
    for (const [failure, count] of Object.entries(this.#failures)) this.problems.push(`${count} healthy streams failed: ${failure}`)
    const left = stats.connections + stats.sessions + stats.running + stats.queued
    if (left > 0) this.#log(`left over after the shutdown: ${JSON.stringify(stats)}`)
    this.#log(`the shutdown took ${this.drain.ms.toFixed(0)} ms`)
  }
}
