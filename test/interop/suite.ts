// What must hold between this implementation and a peer in Go, whichever: the peer's client against our server, our
// client against its server.
import { setTimeout as delay } from 'node:timers/promises'
import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import { Category, RpcError } from '../../lib/index.js'
import type { Client } from '../../lib/client/index.js'
import type { ServerOptions } from '../../lib/index.js'
import { COMPRESSIONS, GoServer, VIAS, ourServer, zstd } from './ends.js'
import { GoProgram } from './go.js'
import type { Line } from './go.js'

/** Where the programs `call` and `serve` of a Go peer are. Upstream shows its users less than there is, and has its defects. */
export interface Peer { programs: string, isUpstream: boolean }

const ECHO = ['example', 'Echo'] as const
const MIB = 1024 * 1024
const encoder = new TextEncoder()
const decoder = new TextDecoder()

// --- content both sides make

/** The same numbers as `noise` of the Go client. */
function noise (length: number): Uint8Array {
  let x = 1
  return new Uint8Array(length).map(() => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    return x >>> 24
  })
}

/** Length and hash, as the Go client tells them. */
const sum = (bytes: Uint8Array): string => `${bytes.length} ${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`

const REQUESTS = [encoder.encode('hello'), new Uint8Array(0), new Uint8Array(8), encoder.encode('Grüße '.repeat(500)), noise(100_000)]
const CODES = [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]

/** Why a compression cannot be tried, if it cannot. */
function lacks (name: string): string | false {
  return name === 'zstd' && zstd === undefined && 'no zstd in node:zlib, no zstd-napi'
}

// --- a Go client, our server

/** What each scenario of the Go client must find at our server. */
const EXPECTED: Record<string, Record<string, unknown>> = {
  unary: { answers: REQUESTS.map(sum), end: 'EOF' },
  metadata: { seen: ['authorization=4265617265722078', 'upper=00ff', 'ключ='] },
  errors: { outcomes: CODES.map((code) => `${code} no ${code} ✓`) },
  refused: { unknown: '12 no handler registered', mismatch: '3 RPC type mismatch', after: 'EOF' },
  collect: { answer: '100 49500', end: 'EOF', trailer: { count: '100', total: '49500' } },
  repeat: { count: 300, end: 'EOF', trailer: { sent: '300' }, endStream: true },
  bidi: { end: 'EOF', trailer: { echoed: '550' }, endStream: true },
  // No EndStream before the Close of an error, which would cost a Go client the error (D9).
  broken: { count: 3, end: '15 the rest is lost', trailer: {}, endStream: false },
  deadline: { unary: '4 deadline exceeded', stream: '4 deadline exceeded', soon: true },
  // A cancelled request does not cost the session (better than Go, D13); Cancel of everything ends it well.
  cancel: { after: '1', everything: 'EOF', stream: '1 canceled by the client' },
  large: { unary: true, first: true, second: sum(new Uint8Array(4 * MIB)), end: 'EOF' },
  sessions: { end: 'EOF', trailer: { echoed: '550' }, endStream: true },
  ping: { pongs: [0, 0], alive: true },
  parallel: { calls: 800 },
  // Answers first, GoAway last: a Go client drops everything at it (D12).
  drain: { answer: '700', err: null, idle: '14 server is draining', refusal: '14 server is draining' },
  'slow-reader': { count: 256, end: 'EOF', trailer: { sent: '256' }, endStream: true },
  'slow-handler': { trailer: { count: '256', total: String(64 * MIB) } }
}
const PLAIN = ['unary', 'metadata', 'errors', 'refused', 'collect', 'repeat', 'bidi', 'broken', 'deadline', 'cancel', 'large', 'sessions', 'ping', 'parallel']

/** Upstream's API shows less than the wire does: what it does show must be right. */
function check (t: Test, { scenario = '', result, error, skipped }: Line, isUpstream: boolean, more: Record<string, unknown> = {}): void {
  if (skipped !== undefined) {
    t.pass(scenario, { skip: `upstream cannot, ${skipped}` })
    return
  }
  if (error !== undefined || result === undefined) {
    t.fail(`${scenario}: ${error}`)
    return
  }
  const expected: Record<string, unknown> = { ...EXPECTED[scenario], ...more }
  const visible = isUpstream ? Object.fromEntries(Object.entries(expected).filter(([name]) => name in result)) : expected
  if (Object.keys(visible).length === 0) t.fail(`${scenario} shows nothing`)
  t.strictSame(result, visible, scenario)
}

function goClient (t: Test, programs: string, address: string, flags: readonly string[], scenarios: readonly string[]): GoProgram {
  return new GoProgram(t, `${programs}/call`, ['-address', address, ...flags, ...scenarios])
}

/** Runs scenarios of a Go client against a server of ours. */
async function callOurs (t: Test, { programs, isUpstream }: Peer, address: string, flags: readonly string[], scenarios: readonly string[], after: (result: Record<string, unknown>) => Record<string, unknown> = () => ({})): Promise<void> {
  const client = goClient(t, programs, address, flags, scenarios)
  for (const scenario of scenarios) {
    const line = await client.line()
    if (line.scenario !== scenario) t.fail(`${line.scenario} instead of ${scenario}`)
    check(t, line, isUpstream, after(line.result ?? {}))
  }
}

function goClientTests (t: Test, peer: Peer): void {
  for (const via of VIAS) {
    t.test(`Go client, our server, ${via}`, async (t) => {
      const { address } = await ourServer(t, via)
      await callOurs(t, peer, address, [], PLAIN)
    })

    for (const { name, id } of COMPRESSIONS) {
      t.test(`Go client, our server, ${via}, ${name} both ways`, { skip: lacks(name) }, async (t) => {
        const options: ServerOptions = { compression: name, compressionMinBytes: 1 }
        const { address } = await ourServer(t, via, options)
        const scenarios = ['unary', 'collect', 'repeat', 'bidi', 'broken', 'large', 'parallel']
        await callOurs(t, peer, address, ['-compression', String(id)], scenarios, ({ compressedAnswers }) => ({ compressedAnswers }))
        // The answers really were compressed: 300 messages of 5000 equal bytes.
        const once = goClient(t, peer.programs, address, ['-compression', String(id)], ['repeat'])
        const { result, skipped } = await once.line()
        if (!peer.isUpstream && skipped === undefined) t.equal(result?.['compressedAnswers'], 300)
      })
    }

    t.test(`Go client, our server, ${via}, packing`, async (t) => {
      const { address } = await ourServer(t, via, { packing: true })
      await callOurs(t, peer, address, ['-packing'], PLAIN)
      await callOurs(t, peer, address, ['-packing', '-compression', '2'], ['sessions', 'large'], ({ compressedAnswers }) => ({ compressedAnswers }))
    })

    t.test(`Go client, our server, ${via}: packing that is asked for and not granted`, async (t) => {
      const { address } = await ourServer(t, via)
      await callOurs(t, peer, address, ['-packing'], ['sessions'])
    })

    t.test(`Go client, our server, ${via}: drain`, async (t) => {
      const { address, shutdown } = await ourServer(t, via)
      const client = goClient(t, peer.programs, address, [], ['drain'])
      let line = await client.line()
      if (line.event === 'running') {
        await Promise.all([shutdown(), (async () => { line = await client.line() })()])
      }
      const trace = line.result?.['trace'] as string[] | undefined
      check(t, line, peer.isUpstream, { trace })
      if (trace === undefined) return
      t.match(trace.at(-2), 'GoAway', 'GoAway is the last message')
      t.equal(trace.filter((message) => message === 'GoAway').length, 1)
    })

    t.test(`Go client, our server, ${via}: a slow reader stops the handler`, async (t) => {
      const { address, stats } = await ourServer(t, via)
      const client = goClient(t, peer.programs, address, [], ['slow-reader'])
      const line = await client.line()
      if (line.event !== 'reading') return check(t, line, peer.isUpstream)
      t.ok(stats().bytesSent < 40 * MIB, `${stats().bytesSent} of 64 MiB were written while nobody read`)
      check(t, await client.line(), peer.isUpstream)
    })

    t.test(`Go client, our server, ${via}: a slow handler stops the reading`, async (t) => {
      const { address, stats } = await ourServer(t, via)
      const client = goClient(t, peer.programs, address, [], ['slow-handler'])
      const line = await client.line()
      if (line.event !== 'sending') return check(t, line, peer.isUpstream)
      await delay(700)
      t.ok(stats().bytesReceived < 8 * MIB, `${stats().bytesReceived} of 64 MiB were read while the handler took nothing`)
      check(t, await client.line(), peer.isUpstream)
    })
  }
}

// --- our client, a Go server

async function gather (stream: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for await (const bytes of stream) all.push(bytes)
  return all
}

/** The call must fail; with what. */
async function failure (call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(() => undefined, (error: unknown) => error)
  if (!RpcError.is(error)) throw new Error(`not an RpcError: ${String(error)}`)
  return `${error.category} ${error.message}`
}

async function allKinds (t: Test, client: Client): Promise<void> {
  const unary = client.sync(...ECHO, 'Unary')
  for (const request of REQUESTS) t.equal(sum(await unary.call(request)), sum(request))
  t.equal(client.minor, 0)

  const upload = client.send(...ECHO, 'Collect')
  for (let i = 0; i < 100; i++) await upload.send(noise(i * 10))
  t.equal((await upload.close()).length, 0, 'a Go handler has no answer to give')
  t.equal(upload.trailer.get('count'), '100')
  t.equal(upload.trailer.get('total'), '49500')

  const download = client.recv(...ECHO, 'Repeat', { metadata: { count: '300', size: '5000' } })
  const messages = await gather(download)
  t.equal(messages.length, 300)
  t.ok(messages.every((bytes, i) => bytes.length === 5000 && bytes.every((byte) => byte === i % 256)))
  t.equal(download.trailer.get('sent'), '300')

  const chat = client.biDir(...ECHO, 'BiDi')
  const heard = gather(chat.recv())
  const said = Array.from({ length: 300 }, (_, i) => noise(i * 100))
  for (const bytes of said) await chat.send(bytes)
  chat.closeSend()
  t.strictSame((await heard).map(sum), said.map(sum))
  t.equal(chat.trailer.get('echoed'), '300')
}

async function large (t: Test, client: Client): Promise<void> {
  const bytes = noise(4 * MIB)
  t.equal(sum(await client.sync(...ECHO, 'Unary').call(bytes)), sum(bytes))
  const chat = client.biDir(...ECHO, 'BiDi')
  const heard = gather(chat.recv())
  await chat.send(bytes)
  await chat.send(new Uint8Array(4 * MIB))
  chat.closeSend()
  t.strictSame((await heard).map(sum), [bytes, new Uint8Array(4 * MIB)].map(sum))
  t.match(await failure(client.sync(...ECHO, 'Unary').call(new Uint8Array(4 * MIB + 1))), /^8 /, 'a larger one is not sent (D17)')
}

async function eightCallers (t: Test, client: Client): Promise<void> {
  const caller = async (n: number): Promise<number> => {
    const unary = client.sync(...ECHO, 'Unary')
    let right = 0
    for (let i = 0; i < 50; i++) if (decoder.decode(await unary.call(encoder.encode(`caller ${n} call ${i}`))) === `caller ${n} call ${i}`) right++
    return right
  }
  t.strictSame(await Promise.all(Array.from({ length: 8 }, (_, n) => caller(n))), Array.from({ length: 8 }, () => 50))
}

function goServerTests (t: Test, { programs, isUpstream }: Peer): void {
  for (const via of VIAS) {
    t.test(`our client, Go server, ${via}`, async (t) => {
      const server = await GoServer.start(t, programs, via)
      const client = await server.client()
      await t.test('all kinds', async (t) => { await allKinds(t, client) })
      await t.test('4 MiB', async (t) => { await large(t, client) })
      await t.test('8 callers', async (t) => { await eightCallers(t, client) })

      await t.test('metadata', async (t) => {
        const answer = await client.sync('interop', 'Test', 'Meta').call(encoder.encode('x'), { metadata: [['authorization', 'Bearer x'], ['Upper', Uint8Array.of(0, 255)], ['ключ', '']] })
        t.strictSame(decoder.decode(answer).split('\n'), EXPECTED['metadata']?.['seen'])
      })

      await t.test('errors', async (t) => {
        const fail = client.sync(...ECHO, 'Fail')
        for (const code of CODES) {
          t.equal(await failure(fail.call(encoder.encode('x'), { metadata: { category: String(code), message: `no ${code} ✓` } })), `${code} no ${code} ✓`)
        }
        t.equal(await failure(client.sync(...ECHO, 'Nope').call(encoder.encode('x'))), '12 no handler registered')
        t.equal(await failure(gather(client.biDir(...ECHO, 'Unary').recv())), '3 RPC type mismatch')
      })

      await t.test('a server stream that fails', async (t) => {
        const broken = client.recv('interop', 'Test', 'Break')
        const got: Uint8Array[] = []
        t.equal(await failure((async () => { for await (const bytes of broken) got.push(bytes) })()), '15 the rest is lost')
        t.equal(got.length, 3)
      })

      await t.test('deadlines', async (t) => {
        const started = Date.now()
        t.match(await failure(client.sync(...ECHO, 'Sleep').call(encoder.encode('10000'), { timeoutMs: 150 })), /^4 /)
        t.match(await failure(gather(client.biDir(...ECHO, 'BiDi', { timeoutMs: 150 }).recv())), /^4 /)
        t.ok(Date.now() - started < 5000)
      })

      await t.test('cancel', async (t) => {
        const call = client.sync(...ECHO, 'Sleep').call(encoder.encode('500'), { signal: AbortSignal.timeout(100) })
        t.match(await failure(call), /^1 /)
        t.equal(decoder.decode(await client.sync(...ECHO, 'Sleep').call(encoder.encode('1'))), '1', 'others go on')
        const stream = client.recv(...ECHO, 'Repeat', { metadata: { count: '1000000', size: '10' } })
        const messages = stream.recv()
        t.equal(((await messages.next()).value as Uint8Array).length, 10)
        await messages.return?.()
        t.equal((await stream.ended)?.category, Category.Canceled)
        t.equal(sum(await client.sync(...ECHO, 'Unary').call(encoder.encode('x'))), sum(encoder.encode('x')))
      })

      if (!isUpstream) t.equal((await server.stats()).bodyless, 0, 'nothing was sent that ends a Go server (D1, D2)')
      await client.close()
    })

    for (const { name, id } of COMPRESSIONS) {
      t.test(`our client, Go server, ${via}, ${name} both ways`, { skip: lacks(name) }, async (t) => {
        const server = await GoServer.start(t, programs, via, ['-compression', String(id)])
        const client = await server.client({ compression: id, compressionMinBytes: 1 })
        await allKinds(t, client)
        await large(t, client)
        await eightCallers(t, client)
      })
    }

    t.test(`our client, Go server, ${via}: keepalive`, { skip: isUpstream && 'upstream does not count Pings' }, async (t) => {
      const server = await GoServer.start(t, programs, via)
      const client = await server.client({ keepAliveIntervalMs: 500, keepAliveTimeoutMs: 1500 })
      await client.sync(...ECHO, 'Unary').call(encoder.encode('x'))
      await delay(4000)
      t.ok(client.isOpen, 'an idle connection lives on')
      const { pings, bodyless } = await server.stats()
      t.ok(pings >= 1, `${pings} pings`)
      t.equal(bodyless, 0)
    })

    t.test(`our client, Go server, ${via}: a slow reader stops the handler`, async (t) => {
      const server = await GoServer.start(t, programs, via)
      const client = await server.client()
      const stream = client.recv(...ECHO, 'Repeat', { metadata: { count: '256', size: '262144' } })
      let count = 0
      for await (const bytes of stream) {
        if (count === 0) {
          await delay(700)
          if (!isUpstream) {
            const { sent } = await server.stats()
            t.ok(sent < 160, `${sent} of 256 messages were sent while one was read`)
          }
        }
        if (!bytes.every((byte) => byte === count % 256)) t.fail(`message ${count}`)
        count++
      }
      t.equal(count, 256)
    })

    t.test(`our client, Go server, ${via}: a slow handler stops the sending`, async (t) => {
      const server = await GoServer.start(t, programs, via)
      const client = await server.client()
      const stream = client.send('interop', 'Test', 'Hold', { metadata: { ms: '1000' } })
      let sent = 0
      const sending = (async () => { for (; sent < 256; sent++) await stream.send(new Uint8Array(262144)) })()
      await delay(700)
      t.ok(sent < 160, `${sent} of 256 messages were sent while the handler took none`)
      await sending
      await stream.close()
      t.equal(stream.trailer.get('count'), '256')
      t.equal(stream.trailer.get('total'), String(64 * MIB))
    })

    t.test(`our client, Go server, ${via}: shutdown`, async (t) => {
      const server = await GoServer.start(t, programs, via)
      const client = await server.client()
      const running = client.sync(...ECHO, 'Sleep').call(encoder.encode('600'))
      await delay(200)
      server.program.say('shutdown')
      await delay(100)
      t.match(await failure(client.sync(...ECHO, 'Unary').call(encoder.encode('x'))), /^14 /, 'nothing new')
      t.equal(decoder.decode(await running), '600', 'what runs is finished')
      await client.closed
      t.equal((await server.program.line()).shutdown, true)
    })

    t.test(`our client, Go server, ${via}: packing of a peer without the memory defect (D7)`, { skip: isUpstream && 'D7: upstream corrupts what it receives packed' }, async (t) => {
      const server = await GoServer.start(t, programs, via, ['-packing'])
      const client = await server.client({ packing: true })
      await allKinds(t, client)
      await eightCallers(t, client)
      await large(t, client)
      t.equal((await server.stats()).bodyless, 0)
    })
  }
}

/** All of it, as subtests. */
export function interopTests (t: Test, peer: Peer): void {
  goClientTests(t, peer)
  goServerTests(t, peer)
}
