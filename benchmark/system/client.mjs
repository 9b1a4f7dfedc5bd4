/** The process of a client: runs one cell for each command and checks every answer. */
import { isSame, message } from './messages.mjs'
import { loadSystem, mark, systemOptions, work } from './worker.mjs'

let system
/** The connection of all cells but `conn`. */
let client
const held = []

const now = () => performance.now()

function cpu () {
  const { user, system } = process.cpuUsage()
  return user + system
}

async function connect ({ port }) {
  client = await system.connect(port, systemOptions)
  const { packages, notes } = system
  return { packages, notes }
}

// --- right or wrong

async function verify () {
  for (const size of [1, 16, 1024, 65536]) {
    const echoes = await Promise.all(Array.from({ length: 8 }, (_, i) => client.unary(message(i, size))))
    echoes.forEach((echo, i) => { mustBeSame(echo, message(i, size), `echo ${i} of ${size} bytes`) })
  }
  for (const [count, size] of [[1000, 16], [300, 4096], [5, 1 << 20]]) {
    const what = `of ${count} messages of ${size} bytes`
    const inOrder = () => {
      let i = 0
      return {
        take (bytes) {
          mustBeSame(bytes, message(i, size), `message ${i} ${what}`)
          i++
        },
        end () { if (i !== count) throw new Error(`${i} messages ${what}`) }
      }
    }
    if (client.serverStream !== undefined) {
      const { take, end } = inOrder()
      for await (const bytes of client.serverStream(count, size)) take(bytes)
      end()
    }
    if (client.clientStream !== undefined) {
      const total = await client.clientStream(count, size)
      if (total !== count * size) throw new Error(`the server counted ${total} bytes ${what}`)
    }
    if (client.bidi !== undefined) {
      const { take, end } = inOrder()
      await client.bidi(count, size, take)
      end()
    }
  }
  return ['unary', 'serverStream', 'clientStream', 'bidi'].filter((kind) => client[kind] !== undefined)
}

function mustBeSame (bytes, expected, what) {
  if (!isSame(bytes, expected)) throw new Error(`wrong bytes: ${what}`)
}

// --- unary

/** The last million latencies of a cell, microseconds; allocated once, so that recording makes no garbage. */
const MAX_LATENCIES = 1 << 20
const latencies = new Float32Array(MAX_LATENCIES)
// Of the module, because a number that a closure captures would be boxed at every change.
let calls = 0
let isRecording = false
let stopAt = 0

async function caller (body) {
  const size = body.length
  let from = now()
  for (;;) {
    const echo = await client.unary(body)
    const to = now()
    if (echo.length !== size || echo[0] !== body[0] || echo[size - 1] !== body[size - 1]) throw new Error('wrong echo')
    if (isRecording) latencies[calls++ & (MAX_LATENCIES - 1)] = (to - from) * 1000
    if (to > stopAt) return
    from = to
  }
}

function callFor (ms, size, inFlight) {
  stopAt = now() + ms
  return Promise.all(Array.from({ length: inFlight }, (_, i) => caller(message(i, size))))
}

function recorded () {
  const sorted = latencies.subarray(0, Math.min(calls, MAX_LATENCIES)).sort()
  return { p50: sorted[sorted.length >> 1], p99: sorted[Math.floor(sorted.length * 0.99)] }
}

async function unary ({ size, inFlight, ms, warmMs }) {
  isRecording = false
  if (warmMs > 0) await callFor(warmMs, size, inFlight)
  await mark('start')
  calls = 0
  isRecording = true
  const cpuBefore = cpu()
  const from = now()
  await callFor(ms, size, inFlight)
  const took = now() - from
  const cpuUsed = cpu() - cpuBefore
  isRecording = false
  await mark('end')
  return { n: calls, rate: calls / took * 1000, clientCpu: cpuUsed / calls, ...recorded() }
}

// --- streams

async function runStream (kind, count, size) {
  let messages = 0
  let bytes = 0
  const take = (received) => {
    messages++
    bytes += received.length
  }
  if (kind === 'serverStream') for await (const received of client.serverStream(count, size)) take(received)
  else if (kind === 'bidi') await client.bidi(count, size, take)
  else {
    messages = count
    bytes = await client.clientStream(count, size)
  }
  if (messages !== count || bytes !== count * size) throw new Error(`${kind}: ${messages} messages, ${bytes} bytes of ${count} messages of ${size} bytes`)
}

async function stream ({ kind, count, size }) {
  await mark('start')
  const cpuBefore = cpu()
  const from = now()
  await runStream(kind, count, size)
  const took = now() - from
  const cpuUsed = cpu() - cpuBefore
  await mark('end')
  return { n: count, rate: count / took * 1000, clientCpu: cpuUsed / count }
}

// --- connections

/** Opens that many connections, some at a time, with one call on each, and holds them. */
async function openMany ({ port, count, atATime }) {
  const body = message(0, 16)
  let left = count
  const times = []
  const from = now()
  await Promise.all(Array.from({ length: atATime }, async () => {
    while (left-- > 0) {
      const start = now()
      const one = await system.connect(port, { ...systemOptions, isOne: true })
      held.push(one)
      mustBeSame(await one.unary(body), body, 'echo on a new connection')
      times.push(now() - start)
    }
  }))
  const ms = now() - from
  times.sort((a, b) => a - b)
  return { ms, p50: times[times.length >> 1], p99: times[Math.floor(times.length * 0.99)] }
}

async function closeHeld () {
  await Promise.all(held.splice(0).map((one) => one.close()))
  return true
}

// --- a reader that has stopped; small calls beside large messages

/** Asks for a stream that will not arrive. Nothing is waited for. */
function startStream ({ count, size }) {
  const ignored = async () => {
    for await (const bytes of client.serverStream(count, size, false)) if (bytes.length !== size) throw new Error('wrong size')
  }
  ignored().catch(() => {})
  return true
}

async function callsBeside ({ kind, size, count, callSize, ms }) {
  const timed = async () => {
    calls = 0
    isRecording = true
    await callFor(ms, callSize, 1)
    isRecording = false
    return { calls, ...recorded() }
  }
  const alone = await timed()
  const load = { bytes: 0, isStopping: false }
  let arrived
  const hasArrived = new Promise((resolve) => { arrived = resolve })
  const loading = (async () => {
    do {
      for await (const received of client[kind](count, size)) {
        load.bytes += received.length
        arrived()
      }
    } while (!load.isStopping)
  })()
  await Promise.race([loading, hasArrived])
  const bytesBefore = load.bytes
  const from = now()
  const beside = await timed()
  const took = now() - from
  const loadBytes = load.bytes - bytesBefore
  load.isStopping = true
  await loading
  return { alone50: alone.p50, alone99: alone.p99, beside50: beside.p50, beside99: beside.p99, calls: beside.calls, loadRate: loadBytes / took * 1000 }
}

work({
  async load () {
    system = await loadSystem()
    return true
  },
  connect,
  verify,
  unary,
  stream,
  openMany,
  closeHeld,
  startStream,
  callsBeside
})
