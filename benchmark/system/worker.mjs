/** What both processes of a pair do: answer commands, tell CPU time and memory, profile themselves. */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const [, , file, options] = process.argv

/** The module of the system that this process runs, and its options. */
export const loadSystem = () => import(pathToFileURL(file).href)
export const systemOptions = JSON.parse(options)

/** Errors that nobody waits for. */
let unhandled = []
process.on('unhandledRejection', (error) => { unhandled.push(error) })

const profiler = new Session()

const common = {
  cpu () {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  async memory () {
    for (let i = 0; i < 3; i++) {
      globalThis.gc()
      await sleep(60)
    }
    const { rss, heapUsed, external } = process.memoryUsage()
    return { rss, heap: heapUsed, external }
  },
  /** Those since the last time, as texts. */
  unhandled () {
    const errors = unhandled.map((error) => String(error?.stack ?? error))
    unhandled = []
    return errors
  },
  async profile ({ path }) {
    if (path === undefined) {
      profiler.connect()
      await post('Profiler.enable')
      await post('Profiler.setSamplingInterval', { interval: 200 })
      return post('Profiler.start').then(() => true)
    }
    const { profile } = await post('Profiler.stop')
    profiler.disconnect()
    writeFileSync(path, JSON.stringify(profile))
    return true
  }
}

function post (method, params) {
  return new Promise((resolve, reject) => {
    profiler.post(method, params, (error, result) => { error === null ? resolve(result) : reject(new Error(error.message)) })
  })
}

const marks = new Map()
let lastMark = 0

/** Tells the runner that the timed part starts or ends, and waits until it has looked at the other process. */
export function mark (what) {
  return new Promise((resolve) => {
    const id = ++lastMark
    marks.set(id, resolve)
    process.send({ mark: what, id })
  })
}

/** Fails when the promise takes too long; `what` is for the message. */
function within (ms, what, promise) {
  let timer
  const tooLong = new Promise((_resolve, reject) => { timer = setTimeout(() => { reject(new Error(`still not done after ${ms} ms: ${what}`)) }, ms) })
  return Promise.race([promise, tooLong]).finally(() => { clearTimeout(timer) })
}

/**
 * Answers commands of the runner from now on, and ends with it. After an error that nobody waited for the next answer
 * fails with it, instead of a wrong number going unseen; unless the runner asks for them itself.
 */
export function work (commands, { asksForUnhandled = false } = {}) {
  const all = { ...common, ...commands }
  process.on('disconnect', () => { process.exit() })
  process.on('message', async ({ id, marked, command, ...args }) => {
    if (marked !== undefined) {
      marks.get(marked)()
      marks.delete(marked)
      return
    }
    try {
      const { timeout, ...what } = args
      const result = await within(timeout, `${command} ${JSON.stringify(what)}`, (async () => all[command](what))())
      if (unhandled.length > 0 && !asksForUnhandled) throw Object.assign(new Error('unhandled rejection'), { cause: unhandled[0] })
      process.send({ id, result })
    } catch (error) {
      const { cause } = error
      if (!asksForUnhandled) unhandled = []
      process.send({ id, error: `${error?.stack ?? error}${cause === undefined ? '' : ` caused by ${cause?.stack ?? cause}`}` })
    }
  })
}
