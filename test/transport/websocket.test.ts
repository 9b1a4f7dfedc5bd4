import { once } from 'node:events'
import { connect } from 'node:net'
import { duplexPair } from 'node:stream'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { Recorder, Writer, pattern, quiet } from './recorder.js'
import { transportSuite } from './transport-suite.js'
import { webSocketTransport } from '../../lib/transport/websocket.js'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Test } from 'tap'
import type { ServerOptions } from 'ws'

const OURS = ['message', 'ping', 'pong', 'error', 'close']

/** The TCP socket beneath, to break it. */
function socketOf (socket: WebSocket): Socket {
  return (socket as unknown as { _socket: Socket })._socket
}

async function serve (t: Test, options: ServerOptions = {}) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options })
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of server.clients) socket.terminate()
    await new Promise(resolve => server.close(resolve))
  })
  return { server, port: (server.address() as AddressInfo).port }
}

async function sockets (t: Test, options: ServerOptions = {}): Promise<[WebSocket, WebSocket]> {
  const { server, port } = await serve(t, options)
  const client = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: options.perMessageDeflate !== undefined })
  const [[accepted]] = await Promise.all([once(server, 'connection') as Promise<[WebSocket]>, once(client, 'open')])
  return [client, accepted]
}

/** Unlike `once` of node:events it does not mind an error. */
async function closed (socket: WebSocket): Promise<void> {
  if (socket.readyState !== WebSocket.CLOSED) await new Promise(resolve => socket.once('close', resolve))
}

function suite (t: Test, nearIs: 'client' | 'server', options: ServerOptions = {}): void {
  transportSuite(t, {
    async open (t) {
      const [client, accepted] = await sockets(t, options)
      const [one, other] = nearIs === 'client' ? [client, accepted] : [accepted, client]
      const before = [one, other].map(socket => OURS.map(name => socket.listenerCount(name)))
      return {
        near: webSocketTransport(one),
        far: webSocketTransport(other),
        breakFar: () => { socketOf(other).resetAndDestroy() },
        async leftovers () {
          await Promise.all([closed(one), closed(other)])
          await quiet(() => 0, 2)
          const listeners = [one, other].flatMap((socket, at) => OURS.filter((name, kind) => {
            return socket.listenerCount(name) !== before[at]?.[kind]
          }))
          const timers = [one, other].filter(socket => {
            const timer = (socket as unknown as { _closeTimer: { hasRef (): boolean, _destroyed: boolean } | null })._closeTimer
            return timer !== null && !timer._destroyed
          })
          return [...listeners, ...timers.map(() => 'the close timer of ws')]
        }
      }
    }
  })
}

t.test('from the client', t => {
  suite(t, 'client')
  t.end()
})

t.test('from the server', t => {
  suite(t, 'server')
  t.end()
})

t.test('compressed by the WebSocket', t => {
  suite(t, 'server', { perMessageDeflate: { threshold: 0 } })
  t.end()
})

t.test('a write is one binary message, also an empty one', async t => {
  const [client, accepted] = await sockets(t)
  const near = webSocketTransport(accepted, { remoteAddress: '192.0.2.1' })
  t.equal(near.remoteAddress, '192.0.2.1')
  near.start(new Recorder())
  const writer = new Writer(near)
  const lengths: number[] = []
  client.on('message', (data: Buffer, isBinary: boolean) => { lengths.push(isBinary ? data.length : -1) })
  writer.write(pattern(10))
  writer.write(new Uint8Array(0))
  writer.write(pattern(70_000))
  near.close()
  await closed(client)
  t.strictSame(lengths, [10, 0, 70_000])
  t.ok(writer.isClean)
})

t.test('over a stream in memory writes are copied when that is asked for', async t => {
  const [one, other] = duplexPair()
  const received: Buffer[] = []
  other.on('data', (chunk: Buffer) => { received.push(chunk) }) // keeps what it is given, as a receiver does
  const request = {
    method: 'GET',
    headers: { upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  }
  const accepted = await new Promise<WebSocket>(resolve => {
    new WebSocketServer({ noServer: true }).handleUpgrade(request as IncomingMessage, one, Buffer.alloc(0), resolve)
  })
  const near = webSocketTransport(accepted, { copiesWrites: true })
  const sink = new Recorder()
  near.start(sink)
  const memory = Buffer.from('written')
  const writer = new Writer(near)
  writer.write(memory)
  await writer.settled()
  memory.fill(0)
  t.ok(Buffer.concat(received).toString('latin1').endsWith('written'))
  near.destroy()
  await sink.closed()
})

t.test('fragments arrive as the bytes they are', async t => {
  const [client, accepted] = await sockets(t)
  const sink = new Recorder()
  webSocketTransport(accepted).start(sink)
  client.send(pattern(1000), { fin: false })
  client.send(pattern(1000, 1000), { fin: false })
  client.send(pattern(1000, 2000), { fin: true })
  await sink.received(3000)
  t.ok(sink.content().equals(pattern(3000)))
  t.equal(sink.chunks.length, 3, 'not joined')
})

t.test('whatever ws makes of a message', async t => {
  const [client, accepted] = await sockets(t)
  const sink = new Recorder()
  webSocketTransport(accepted).start(sink)
  for (const binaryType of ['arraybuffer', 'nodebuffer'] as const) {
    accepted.binaryType = binaryType
    client.send(pattern(10))
    const bytes = sink.bytes + 10
    await sink.received(bytes)
  }
  t.ok(sink.content().equals(Buffer.concat([pattern(10), pattern(10)])))
  t.ok(sink.chunks.every(chunk => chunk instanceof Uint8Array))
})

t.test('a text message closes with 1003 and an error; nothing after it is delivered', async t => {
  const [client, accepted] = await sockets(t)
  const sink = new Recorder()
  const near = webSocketTransport(accepted)
  near.start(sink)
  near.pause() // even so the peer's answer must be read
  const close = once(client, 'close') as Promise<[number, Buffer]>
  client.send(pattern(10))
  client.send('hello')
  client.send(pattern(10))
  await quiet(() => 0, 5)
  near.resume()
  const [code] = await close
  t.equal(code, 1003)
  await sink.closed()
  t.match(sink.closes, [{ name: 'ProtocolError', message: /text/ }])
  t.equal(sink.bytes, 10)
})

t.test('codes: 1000, 1001 and none are good ends, others carry code and reason', async t => {
  for (const [code, expected] of [[1000, undefined], [1001, undefined], [undefined, undefined], [1011, /1011: broken/], [4000, /4000/]] as const) {
    const [client, accepted] = await sockets(t)
    const sink = new Recorder()
    webSocketTransport(accepted).start(sink)
    if (code === 1011) client.close(code, 'broken')
    else client.close(code)
    await sink.closed()
    if (expected === undefined) t.strictSame(sink.closes, [undefined])
    else t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST', message: expected }])
  }
})

t.test('our own close with an error code is an orderly end to us, and its reason is cut to what fits', async t => {
  const [client, accepted] = await sockets(t)
  const sink = new Recorder()
  const near = webSocketTransport(accepted)
  near.start(sink)
  near.close(1002, 'ä€😀'.repeat(30))
  const [code, reason] = await once(client, 'close') as [number, Buffer]
  t.equal(code, 1002)
  t.ok(reason.length <= 123 && reason.length > 119)
  t.ok('ä€😀'.repeat(30).startsWith(reason.toString()), 'between characters')
  await sink.closed()
  t.strictSame(sink.closes, [undefined])
})

t.test('a peer that answers our close by breaking the connection is a loss', async t => {
  const [client, accepted] = await sockets(t)
  const sink = new Recorder()
  const near = webSocketTransport(accepted)
  near.start(sink)
  socketOf(client).pause()
  near.close()
  socketOf(client).resetAndDestroy()
  await sink.closed()
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST' }])
})

t.test('toward a mute peer close waits, and destroy leaves neither socket nor timer', async t => {
  const [client, accepted] = await sockets(t)
  const sink = new Recorder()
  const near = webSocketTransport(accepted)
  near.start(sink)
  socketOf(client).pause()
  near.close()
  await quiet(() => sink.closes.length, 20)
  t.equal(sink.closes.length, 0)
  const error = new Error('no patience')
  near.destroy(error)
  await Promise.all([sink.closed(), closed(accepted)])
  t.strictSame(sink.closes, [error])
  t.ok((accepted as unknown as { _closeTimer: { _destroyed: boolean } })._closeTimer._destroyed)
  socketOf(client).resume()
  await closed(client)
})

t.test('broken frames and messages too large are reported with the reason', async t => {
  const [client, accepted] = await sockets(t, { maxPayload: 1000 })
  const sink = new Recorder()
  webSocketTransport(accepted).start(sink)
  client.send(pattern(1001))
  const [code] = await once(client, 'close') as [number]
  t.equal(code, 1009)
  await sink.closed()
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST', message: /Max payload/ }])
})

t.test('ping and pong show the peer alive', async t => {
  const [client, accepted] = await sockets(t)
  const nearSink = new Recorder()
  const farSink = new Recorder()
  const near = webSocketTransport(accepted)
  near.start(nearSink)
  webSocketTransport(client).start(farSink)
  near.ping?.()
  await Promise.all([nearSink.until(() => nearSink.alive === 1), farSink.until(() => farSink.alive === 1)])
  t.equal(nearSink.bytes + farSink.bytes, 0)
})

t.test('a socket that is still connecting keeps what arrives with the handshake until start', async t => {
  const { server, port } = await serve(t)
  server.on('connection', socket => {
    socket.send(pattern(10))
    socket.send(pattern(10, 10))
  })
  const client = new WebSocket(`ws://127.0.0.1:${port}`)
  const near = webSocketTransport(client)
  const writer = new Writer(near)
  writer.write(pattern(1))
  await writer.settled()
  await Promise.all([once(client, 'open'), once(client, 'message')])
  const sink = new Recorder()
  near.start(sink)
  await sink.received(20)
  t.ok(sink.content().equals(pattern(20)))
})

t.test('a connection that fails, or is destroyed while connecting, is reported and ends no process', async t => {
  const { server, port } = await serve(t)
  const failing = webSocketTransport(new WebSocket('ws://127.0.0.1:1'))
  const sink = new Recorder()
  failing.start(sink)
  await sink.closed()
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST', message: /ECONNREFUSED|connect/ }])

  const client = new WebSocket(`ws://127.0.0.1:${port}`)
  const given = webSocketTransport(client)
  const givenSink = new Recorder()
  given.start(givenSink)
  given.destroy()
  await Promise.all([givenSink.closed(), closed(client)])
  t.strictSame(givenSink.closes, [undefined])
  t.equal(server.clients.size, 0)
})

t.test('a socket that has closed before is a lost one', async t => {
  const [client, accepted] = await sockets(t)
  client.close()
  await Promise.all([closed(client), closed(accepted)])
  const sink = new Recorder()
  webSocketTransport(accepted).start(sink)
  await sink.closed()
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST' }])
})

t.test('bytes that are no WebSocket end the transport', async t => {
  const { server, port } = await serve(t)
  const raw = connect(port, '127.0.0.1')
  raw.on('error', () => {})
  t.teardown(() => { raw.destroy() })
  raw.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  const [accepted] = await once(server, 'connection') as [WebSocket]
  const sink = new Recorder()
  const near = webSocketTransport(accepted)
  near.start(sink)
  raw.write(Buffer.alloc(20, 0xff))
  await once(accepted, 'error')
  t.equal(sink.closes.length, 0, 'a mute peer: the transport can still be destroyed')
  near.destroy()
  await Promise.all([sink.closed(), closed(accepted)])
  t.equal(sink.closes.length, 1)
})

t.test('who writes on and on to a socket that is closing does not stop the event loop', async t => {
  const [client, accepted] = await sockets(t)
  const near = webSocketTransport(accepted)
  const sink = new Recorder()
  near.start(sink)
  let written = 0
  const writeOn = (): void => {
    if (sink.closes.length > 0) return
    written++
    near.write(pattern(10), writeOn)
  }
  near.close()
  t.equal(accepted.readyState, WebSocket.CLOSING)
  writeOn()
  await sink.closed()
  t.equal(written, 1, 'it was told when all was over')
  t.strictSame(sink.closes, [undefined])
  await closed(client)
})

t.test('after so many bytes the others have their turn', async t => {
  const { server, port } = await serve(t)
  const turns: string[] = []
  const sinks = new Map<string, Recorder>()
  server.on('connection', (socket, request) => {
    const name = String(request.url).slice(1)
    const sink = new Recorder()
    sink.whenData = () => { turns.push(name) }
    sinks.set(name, sink)
    webSocketTransport(socket, { restBytes: 64 * 1024 }).start(sink)
  })
  const [greedy, modest] = await Promise.all(['greedy', 'modest'].map(async (name) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/${name}`)
    await once(socket, 'open')
    return socket
  })) as [WebSocket, WebSocket]
  for (let i = 0; i < 256; i++) greedy.send(pattern(16 * 1024))
  modest.send(pattern(1))
  await Promise.all([sinks.get('greedy')?.received(256 * 16 * 1024), sinks.get('modest')?.received(1)])
  t.ok(turns.indexOf('modest') < 256, 'it does not come last')
  t.ok(sinks.get('greedy')?.content().equals(Buffer.concat(Array.from({ length: 256 }, () => pattern(16 * 1024)))))
})

t.test('a rest does not end the pause of the user', async t => {
  const [client, accepted] = await sockets(t)
  const near = webSocketTransport(accepted, { restBytes: 1000 })
  const sink = new Recorder()
  sink.whenData = () => { near.pause() }
  near.start(sink)
  client.send(pattern(1000))
  await sink.received(1000)
  client.send(pattern(1000))
  await quiet(() => sink.bytes, 5)
  t.equal(sink.bytes, 1000)
  near.resume()
  await sink.received(2000)
  t.equal(sink.bytes, 2000)
})
