// @ts-check
/**
 * The calls of this page: one function for each RPC of `example.Echo`. Each takes the client, where to report and a
 * signal, and answers with the text to show. This file is the one to read for how the client is used.
 */

/**
 * @typedef {import('fastify-claw/client').Client} Client
 * @typedef {{ message: (isSent: boolean, bytes: number) => void, advance: (done: number, text: string) => void }} Report
 */

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** @param {Client} client @param {Report} report @param {AbortSignal} signal @param {string} text */
export async function unary (client, report, signal, text) {
  const request = encoder.encode(text)
  report.message(true, request.byteLength)
  const answer = await client.sync('example', 'Echo', 'Unary').call(request, { signal })
  report.message(false, answer.byteLength)
  return decoder.decode(answer)
}

/** Many small calls, each after the answer to the last. @param {Client} client @param {Report} report @param {AbortSignal} signal @param {number} count */
export async function unaries (client, report, signal, count) {
  for (let i = 1; i <= count; i++) {
    const text = `call ${i}`
    if (await unary(client, report, signal, text) !== text) throw new Error('another answer than was asked for')
    report.advance(i, `${i} of ${count} answered`)
    await pause(10)
  }
  return `${count} calls answered`
}

/** @param {Client} client @param {Report} report @param {AbortSignal} signal @param {string} ms @param {number} [timeoutMs] */
export async function sleep (client, report, signal, ms, timeoutMs) {
  const startedAt = performance.now()
  const timer = setInterval(() => {
    const passed = performance.now() - startedAt
    report.advance(passed, `${Math.round(passed)} of ${ms} ms`)
  }, 100)
  try {
    report.message(true, ms.length)
    const options = timeoutMs === undefined ? { signal } : { signal, timeoutMs }
    const answer = await client.sync('example', 'Echo', 'Sleep').call(encoder.encode(ms), options)
    report.message(false, answer.byteLength)
    return `slept ${decoder.decode(answer)} ms`
  } finally {
    clearInterval(timer)
  }
}

/** @param {Client} client @param {Report} report @param {AbortSignal} signal @param {number} category @param {string} message */
export async function fail (client, report, signal, category, message) {
  report.message(true, message.length)
  await client.sync('example', 'Echo', 'Fail').call(new Uint8Array(), { signal, metadata: { category: String(category), message } })
  return 'it did not fail'
}

/** @param {Client} client @param {Report} report @param {AbortSignal} signal @param {number} count @param {number} size @param {number} paceMs */
export async function collect (client, report, signal, count, size, paceMs) {
  const stream = client.send('example', 'Echo', 'Collect', { signal })
  for (let i = 1; i <= count; i++) {
    await stream.send(new Uint8Array(size).fill(i)) // waits when the server does not keep up
    report.message(true, size)
    report.advance(i, `${i} of ${count} sent`)
    if (paceMs > 0) await pause(paceMs)
  }
  const answer = decoder.decode(await stream.close())
  report.message(false, answer.length)
  return `answer ${answer} · trailer count ${stream.trailer.get('count')}`
}

/** @param {Client} client @param {Report} report @param {AbortSignal} signal @param {number} count @param {number} size @param {number} paceMs */
export async function repeat (client, report, signal, count, size, paceMs) {
  const stream = client.recv('example', 'Echo', 'Repeat', { signal, metadata: { count: String(count), size: String(size) } })
  let received = 0
  for await (const bytes of stream) {
    if (bytes.byteLength !== size || bytes.some((byte) => byte !== received % 256)) throw new Error(`message ${received} is not as it was sent`)
    report.message(false, size)
    report.advance(++received, `${received} of ${count} received`)
    if (paceMs > 0) await pause(paceMs) // the server waits, too: what is unread is bounded
    if (stream.err !== undefined) throw stream.err // what had arrived before is of no use here
  }
  return `${received} messages, every byte right · trailer sent ${stream.trailer.get('sent')}`
}

/** @param {Client} client @param {Report} report @param {AbortSignal} signal @param {number} count @param {number} size @param {number} paceMs */
export async function biDir (client, report, signal, count, size, paceMs) {
  const stream = client.biDir('example', 'Echo', 'BiDi', { signal })
  async function sendAll () {
    for (let i = 0; i < count; i++) {
      await stream.send(new Uint8Array(size).fill(i))
      report.message(true, size)
      await pause(paceMs)
    }
    stream.closeSend()
  }
  async function receiveAll () {
    let received = 0
    for await (const bytes of stream.recv()) {
      if (bytes.byteLength !== size || bytes[0] !== received % 256) throw new Error(`message ${received} is not as it was sent`)
      report.message(false, size)
      report.advance(++received, `${received} of ${count} echoed`)
    }
  }
  await Promise.all([sendAll(), receiveAll()])
  return `all as sent · trailer echoed ${stream.trailer.get('echoed')}`
}

/**
 * A stream that people talk on: send with `say`, end with `end`.
 * @param {Client} client @param {Report} report @param {AbortSignal} signal @param {(text: string) => void} onHeard
 */
export function conversation (client, report, signal, onHeard) {
  const stream = client.biDir('example', 'Echo', 'BiDi', { signal })
  let said = 0
  return {
    /** @param {string} text */
    async say (text) {
      const bytes = encoder.encode(text)
      await stream.send(bytes)
      report.message(true, bytes.byteLength)
      report.advance(++said, `${said} said`)
    },
    end () { stream.closeSend() },
    async listen () {
      for await (const bytes of stream.recv()) {
        report.message(false, bytes.byteLength)
        onHeard(decoder.decode(bytes))
      }
      return `ended · trailer echoed ${stream.trailer.get('echoed')}`
    }
  }
}

/** @param {number} ms */
function pause (ms) { return new Promise((resolve) => setTimeout(resolve, ms)) }
