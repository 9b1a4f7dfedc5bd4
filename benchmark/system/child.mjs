/**
 * Processes of a measurement: started, pinned to a core, asked over IPC, and ended in any case: when this process
 * ends, when it is interrupted, and by themselves when it is gone.
 */
import { fork, spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const HERE = dirname(fileURLToPath(import.meta.url))
/** How much longer than the process itself we wait for an answer: it may be busy. */
const GRACE_MS = 10_000
const ERROR_CHARS = 2000

const running = new Set()
const killAll = () => { for (const child of running) child.process.kill('SIGKILL') }
process.once('exit', killAll)
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) process.once(signal, () => { process.exit(status) })

const hasTaskset = cpus().length > 1 && process.platform === 'linux' && spawnSync('taskset', ['--version'], { stdio: 'ignore' }).status === 0

/** Whether processes can be pinned here. */
export const canPin = hasTaskset

class Child {
  #seq = 0
  #asked = new Map()
  #errors = ''
  #exited
  isGone = false
  onMark = async () => {}

  constructor (script, system, { core, isHot, env = {} }) {
    // While one system waits for the others V8's memory reducer would drop its maps and deoptimise its code. What is
    // measured for its memory runs as V8 is by default.
    const execArgv = ['--expose-gc', ...(isHot ? ['--no-memory-reducer'] : [])]
    const environment = { ...process.env, WS_NO_BUFFER_UTIL: '1', ...env }
    for (const [name, value] of Object.entries(environment)) if (value === undefined) delete environment[name]
    this.process = fork(join(HERE, script), [system.file, JSON.stringify(system.options)], { execArgv, env: environment, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    running.add(this)
    this.process.stderr.on('data', (data) => { this.#errors = (this.#errors + data).slice(-ERROR_CHARS) })
    if (core !== undefined) spawnSync('taskset', ['-a', '-p', '-c', String(core), String(this.process.pid)], { stdio: 'ignore' })
    this.#exited = new Promise((resolve) => {
      this.process.once('exit', (code, signal) => {
        running.delete(this)
        this.isGone = true
        const error = new Error(`${script} has exited (${code ?? signal}) ${this.#errors}`.trim())
        for (const { reject } of this.#asked.values()) reject(error)
        this.#asked.clear()
        resolve()
      })
    })
    this.process.on('message', (said) => { this.#handleMessage(said) })
  }

  /** Has the process run a command; rejects with its error, and when it says nothing for too long. */
  ask (command, args = {}) {
    if (this.isGone) return Promise.reject(new Error(`the process is gone ${this.#errors}`.trim()))
    const { timeout = 60_000 } = args
    return new Promise((resolve, reject) => {
      const id = ++this.#seq
      const timer = setTimeout(() => { reject(new Error(`no answer to ${command}`)) }, timeout + GRACE_MS)
      const settled = (settle) => (value) => {
        clearTimeout(timer)
        settle(value)
      }
      this.#asked.set(id, { resolve: settled(resolve), reject: settled(reject) })
      this.process.send({ ...args, timeout, id, command })
    })
  }

  end () {
    if (!this.isGone) this.process.kill('SIGKILL')
    return this.#exited
  }

  async #handleMessage ({ id, mark, result, error }) {
    if (mark !== undefined) {
      await this.onMark(mark)
      if (this.process.connected) this.process.send({ marked: id })
      return
    }
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    if (error === undefined) asked?.resolve(result)
    else asked?.reject(new Error(error))
  }
}

/** One process by itself: a script beside this one, which finds `options` as its `systemOptions`. */
export function openProcess (script, { options = {}, core, isPinned = true } = {}) {
  return new Child(script, { file: '', options }, { core: isPinned && canPin ? core : undefined })
}

/**
 * A server and a client of one system, each in its own process: cores 0 and 1. Without pinning one call at a time
 * takes 25 or 80 us, as both happen to share a core or not.
 */
export async function openPair (system, { isHot, isPinned }) {
  const start = (script, core) => new Child(script, system, { isHot, env: system.env, core: isPinned && canPin ? core : undefined })
  const server = start('server.mjs', 0)
  const client = start('client.mjs', 1)
  const pair = {
    server,
    client,
    port: 0,
    /** The server's CPU time between the client's last two marks, microseconds. */
    serverCpu: 0,
    end: () => Promise.all([server.end(), client.end()])
  }
  let startCpu = 0
  client.onMark = async (mark) => {
    const now = await server.ask('cpu').catch(() => NaN)
    if (mark === 'start') startCpu = now
    else pair.serverCpu = now - startCpu
  }
  try {
    const timeout = 20_000
    const [port] = await Promise.all([server.ask('listen', { timeout }), client.ask('load', { timeout })])
    pair.port = port
    return pair
  } catch (error) {
    await pair.end()
    throw error
  }
}
