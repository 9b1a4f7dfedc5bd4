import { once } from 'node:events'
import t from 'tap'
import { WebSocket as WsWebSocket, WebSocketServer } from 'ws'
import { Recorder, Writer, pattern, quiet } from './recorder.js'
import { webSocketTransport } from '../../lib/transport/websocket.js'
import { FakeClock } from '../helpers/fake-clock.js'
import type { AddressInfo } from 'node:net'
import type { WebSocketEvent, WebSocketLike } from '../../lib/transport/websocket-browser.js'

type Listener = (event: WebSocketEvent) => void

/** A WebSocket as browsers have it: bufferedAmount moves when the test lets the network take bytes. */
class FakeWebSocket implements WebSocketLike {
  binaryType = 'blob'
  readyState = 1
  bufferedAmount = 0
  sent: Uint8Array[] = []
  closed: unknown[][] = []
  readonly listeners = new Set<{ type: string, listener: Listener }>()

  send (data: Uint8Array): void {
    if (this.readyState === 0) throw new Error('InvalidStateError')
    this.sent.push(data.slice())
    this.bufferedAmount += data.byteLength
  }

  close (code?: number, reason?: string): void {
    if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) throw new Error('InvalidAccessError')
    if (reason !== undefined && Buffer.byteLength(reason) > 123) throw new Error('SyntaxError')
    this.closed.push([code, reason])
    this.readyState = 2
  }

  addEventListener (type: string, listener: Listener): void {
    this.listeners.add({ type, listener })
  }

  removeEventListener (type: string, listener: Listener): void {
    for (const entry of this.listeners) if (entry.type === type && entry.listener === listener) this.listeners.delete(entry)
  }

  emit (type: string, event: Omit<WebSocketEvent, 'type'> = {}): void {
    if (type === 'close') this.readyState = 3
    for (const entry of [...this.listeners]) if (entry.type === type) entry.listener({ type, ...event })
  }

  message (bytes: Uint8Array): void {
    this.emit('message', { data: Uint8Array.from(bytes).buffer })
  }
}

function start () {
  const socket = new FakeWebSocket()
  const clock = new FakeClock()
  const transport = webSocketTransport(socket, { clock })
  const sink = new Recorder()
  transport.start(sink)
  return { socket, clock, transport, sink, writer: new Writer(transport) }
}

t.test('a browser\'s WebSocket is what the transport takes', t => {
  // A matter of types: compiled, never run.
  const accepts = (socket: WebSocket) => webSocketTransport(socket)
  const acceptsWs = (socket: WsWebSocket) => webSocketTransport(socket)
  t.ok(accepts !== undefined && acceptsWs !== undefined)
  t.end()
})

t.test('asks for array buffers and delivers them uncopied', async t => {
  const { socket, sink } = start()
  t.equal(socket.binaryType, 'arraybuffer')
  const data = Uint8Array.of(1, 2, 3).buffer
  socket.emit('message', { data })
  t.equal(sink.chunks[0]?.buffer, data)
})

t.test('done comes when bufferedAmount shows that the chunk has left', async t => {
  const { socket, clock, writer } = start()
  t.equal(clock.pendingTimers, 0)
  writer.write(pattern(10))
  writer.write(pattern(20))
  writer.write(pattern(30))
  t.equal(clock.pendingTimers, 1, 'one timer for all')
  clock.advance(1)
  t.strictSame(writer.done, [0, 0, 0])
  socket.bufferedAmount = 45
  clock.advance(64)
  t.strictSame(writer.done, [1, 0, 0], 'half of the second is not all of it')
  socket.bufferedAmount = 0
  clock.advance(64)
  t.strictSame(writer.done, [1, 1, 1])
  t.equal(clock.pendingTimers, 0, 'none while nothing is pending')
  t.ok(writer.isClean)
})

t.test('looks less often while nothing leaves, and often again when something does', async t => {
  const { socket, clock, writer } = start()
  let looks = 0
  let amount = 0
  Object.defineProperty(socket, 'bufferedAmount', {
    get: () => { looks++; return amount },
    set: (value: number) => { amount = value }
  })
  writer.write(pattern(10))
  looks = 0
  clock.advance(1000)
  t.ok(looks > 5 && looks < 25, `${looks} looks in a second`)
  amount = 0
  clock.advance(64)
  t.equal(writer.order.length, 1)
  writer.write(pattern(10))
  amount = 0
  clock.advance(1)
  t.equal(writer.order.length, 2, 'after 1 ms')
})

t.test('a message that arrives is a look as well', async t => {
  const { socket, writer } = start()
  writer.write(pattern(10))
  socket.bufferedAmount = 0
  socket.message(pattern(1))
  t.equal(writer.order.length, 1)
})

t.test('a done that writes again finds everything in order', async t => {
  const { socket, clock, transport } = start()
  let writes = 0
  const write = (): void => {
    if (writes++ === 5) return
    transport.write(pattern(10), write)
    socket.bufferedAmount = 0
  }
  write()
  clock.advance(100)
  t.equal(socket.sent.length, 5)
  t.equal(writes, 6)
  t.equal(clock.pendingTimers, 0)
})

t.test('paused it keeps what arrives, in order, and the end behind it', async t => {
  const { socket, transport, sink } = start()
  transport.pause()
  socket.message(pattern(10))
  socket.message(pattern(10, 10))
  t.equal(sink.bytes, 0)
  sink.whenData = () => { transport.pause() }
  transport.resume()
  transport.resume()
  t.equal(sink.bytes, 0, 'not inside resume')
  await sink.received(10)
  socket.message(pattern(10, 20))
  socket.emit('close', { code: 1000 })
  t.equal(sink.bytes, 10)
  t.equal(sink.closes.length, 0)
  sink.whenData = () => {}
  transport.resume()
  await sink.closed()
  t.ok(sink.content().equals(pattern(30)))
  t.strictSame(sink.closes, [undefined])
})

t.test('destroyed while paused: what was kept is dropped', async t => {
  const { socket, transport, sink } = start()
  transport.pause()
  socket.message(pattern(10))
  socket.emit('close', { code: 1000 })
  transport.destroy(new Error('x'))
  transport.resume()
  await sink.closed()
  await quiet(() => 0, 3)
  t.equal(sink.bytes, 0)
  t.match(sink.closes, [{ message: 'x' }])
})

t.test('messages before start are kept, and so is an end', async t => {
  const socket = new FakeWebSocket()
  const transport = webSocketTransport(socket)
  socket.message(pattern(10))
  socket.emit('close', { code: 1006 })
  const sink = new Recorder()
  transport.start(sink)
  await sink.closed()
  t.equal(sink.bytes, 10)
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST' }])
})

t.test('text closes with what a page may send for 1003, and is an error', async t => {
  const { socket, sink } = start()
  socket.emit('message', { data: 'hello' })
  socket.message(pattern(10))
  t.strictSame(socket.closed, [[4003, 'binary messages only']])
  socket.emit('close', { code: 4003 })
  t.match(sink.closes, [{ name: 'ProtocolError' }])
  t.equal(sink.bytes, 0)
  t.equal(socket.listeners.size, 0)
})

t.test('close: codes that a page may send, once', async t => {
  for (const [code, sent] of [[undefined, 1000], [1000, 1000], [1001, 1000], [1002, 4002], [1011, 4011]] as const) {
    const { socket, transport, sink, writer } = start()
    if (code === undefined) transport.close()
    else transport.close(code, '€'.repeat(100))
    transport.close()
    t.equal(socket.closed.length, 1)
    t.equal(socket.closed[0]?.[0], sent)
    writer.write(pattern(1))
    t.equal(socket.sent.length, 0)
    t.notOk(writer.isClean, 'what is not taken is settled by the end')
    socket.emit('close', { code: sent })
    await writer.settled()
    t.strictSame(sink.closes, [undefined])
    t.equal(socket.listeners.size, 0)
  }
})

t.test('a lost connection settles all writes and stops the timer', async t => {
  const { socket, clock, sink, writer } = start()
  writer.write(pattern(10))
  const cause = new Error('reset')
  socket.emit('error', { error: cause })
  socket.emit('close', { code: 1006 })
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST', cause }])
  t.ok(writer.isClean)
  t.equal(clock.pendingTimers, 0)
  t.equal(socket.listeners.size, 0)
})

t.test('destroy reports at once, without waiting for the peer', async t => {
  const { socket, clock, transport, sink, writer } = start()
  writer.write(pattern(10))
  const error = new Error('x')
  transport.destroy(error)
  transport.destroy()
  t.equal(sink.closes.length, 0, 'not inside destroy')
  await Promise.all([sink.closed(), writer.settled()])
  t.strictSame(sink.closes, [error])
  t.equal(socket.closed.length, 1)
  t.equal(clock.pendingTimers, 0)
  t.equal(socket.listeners.size, 0)
  transport.close()
  t.equal(socket.closed.length, 1)
})

t.test('a socket that has closed before is a lost one', async t => {
  const socket = new FakeWebSocket()
  socket.readyState = 3
  const sink = new Recorder()
  webSocketTransport(socket, { remoteAddress: 'here' }).start(sink)
  await sink.closed()
  t.match(sink.closes, [{ code: 'CLAW_ERR_CONNECTION_LOST' }])
})

t.test('over the standard face of a real WebSocket', async t => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.teardown(() => new Promise<void>(resolve => server.close(() => { resolve() })))
  server.on('connection', socket => { socket.on('message', data => { socket.send(data) }) })
  const socket = new WsWebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  // What a page sees of it: nothing but the standard.
  const face: WebSocketLike = {
    get binaryType () { return socket.binaryType },
    set binaryType (type) { socket.binaryType = type },
    get readyState () { return socket.readyState },
    get bufferedAmount () { return socket.bufferedAmount },
    send: data => { socket.send(data) },
    close: (code, reason) => { socket.close(code, reason) },
    addEventListener: (type, listener) => { socket.addEventListener(type as 'message', listener) },
    removeEventListener: (type, listener) => { socket.removeEventListener(type as 'message', listener) }
  }
  const transport = webSocketTransport(face)
  await once(socket, 'open')
  const sink = new Recorder()
  transport.start(sink)
  const writer = new Writer(transport)
  const bytes = pattern(2 * 1024 * 1024)
  for (let at = 0; at < bytes.length; at += 32 * 1024) writer.write(bytes.subarray(at, at + 32 * 1024))
  await Promise.all([sink.received(bytes.length), writer.settled()])
  t.ok(sink.content().equals(bytes))
  t.ok(writer.isClean)
  transport.close()
  await sink.closed()
  t.strictSame(sink.closes, [undefined])
})
