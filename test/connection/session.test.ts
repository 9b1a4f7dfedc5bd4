// One session alone: an owner that notes what is asked of it, a sink that notes what it is told.
import t from 'tap'
import { CompressorRegistry } from '../../lib/compression/registry.js'
import { GrowthBudget } from '../../lib/connection/flow-control.js'
import { Places } from '../../lib/connection/places.js'
import { SESSION_CLOSED } from '../../lib/connection/faults.js'
import { Session } from '../../lib/connection/session.js'
import type { SessionInit, SessionOwner, SessionSink } from '../../lib/connection/session.js'
import type { ConnectionSettings } from '../../lib/connection/settings.js'
import { Category, ErrorCode, ProtocolError, RpcError } from '../../lib/errors.js'
import { Payload, RpcType, WindowUpdate } from '../../lib/wire/message.js'
import type { Cancel, Close } from '../../lib/wire/message.js'
import type { SendableMessage } from '../../lib/wire/encode.js'
import { payloadFrameBytes } from '../../lib/wire/encode.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { msg, settle, text, watch } from '../helpers/scripted-peer.js'

const WINDOW = 128 * 1024

class Owner implements SessionOwner {
  readonly settings: ConnectionSettings
  readonly clock = new FakeClock()
  readonly isMinor1: boolean
  readonly growth = new GrowthBudget(0, 0)
  readonly lastReceivedAt = 0
  readonly places: Places
  room = true
  controls: SendableMessage[] = []
  written: Payload[] = []
  released: number[] = []
  held = 0
  readonly #waiting: { writeTurn (): boolean }[] = []

  constructor (settings: Partial<ConnectionSettings> = {}, isMinor1 = true) {
    this.isMinor1 = isMinor1
    this.settings = {
      minor: 1,
      maxRecvMsgSize: 1 << 20,
      maxSendMsgSize: 1 << 20,
      maxMetadataBytes: 64 * 1024,
      windowBytes: WINDOW,
      maxWindowBytes: 0,
      sendBufferBytes: 1 << 20,
      recvBufferBytes: 1 << 20,
      reassemblyPlaces: 1,
      stallTimeoutMs: 60_000,
      messageTimeoutMs: 30_000,
      compression: 0,
      compressionMinBytes: 100,
      compressors: new CompressorRegistry(),
      ...settings
    }
    this.places = new Places(this.settings.reassemblyPlaces)
  }

  hasRoom (): boolean { return this.room }
  writePayload (sessionID: number, reqID: number, bytes: Uint8Array, start: number, end: number, endStream: boolean, compression: number, metadata: Payload['metadata'], more: boolean): void {
    this.written.push(Object.assign(new Payload(), { sessionID, reqID, payload: bytes.slice(start, end), endStream, compression, metadata, more }))
  }

  writeMessage (message: Payload | Close): void { this.written.push(message as Payload) }
  schedule (outbox: { writeTurn (): boolean }): void { this.#waiting.push(outbox) }
  sendControl (message: SendableMessage): void { this.controls.push(message) }
  release (session: Session): void { this.released.push(session.id) }
  hold (_session: Session, bytes: number): void { this.held += bytes }
  requestPlace (session: Session): void { this.places.request(session) }
  releasePlace (session: Session): void { this.places.release(session) }
  grantPlaces (): void { this.places.grant() }

  turns (): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) if (next.writeTurn()) this.#waiting.push(next)
  }

  /** Credit returned so far. */
  get credited (): number { return this.controls.reduce((sum, message) => sum + (message instanceof WindowUpdate ? message.bytes : 0), 0) }
}

class Sink implements SessionSink {
  events: string[] = []
  messages: Payload[] = []
  costs: number[] = []
  onMessage (message: Payload, cost: number): void {
    this.messages.push(message)
    this.costs.push(cost)
    this.events.push(`message ${message.payload.byteLength}`)
  }

  onEnd (): void { this.events.push('end') }
  onCancel (reqID: number): void { this.events.push(`cancel ${reqID}`) }
  onPeerClose (close: Close): void { this.events.push(`close ${close.errCode}`) }
  onFail (error: RpcError): void { this.events.push(`fail ${error.category} ${error.message}`) }
  onBadMessage (reqID: number, error: RpcError): void { this.events.push(`bad ${reqID} ${error.category}`) }
}

interface SetUp { owner: Owner, sink: Sink, session: Session, receive: (fields: Partial<Payload>) => number }

function setUp (type: number = RpcType.BiDirectional, { settings = {}, isMinor1 = true, owner = new Owner(settings, isMinor1) }: { settings?: Partial<ConnectionSettings>, isMinor1?: boolean, owner?: Owner } = {}): SetUp {
  const sink = new Sink()
  const init: SessionInit = { id: 1, type, peerWindow: WINDOW, peerMaxBytes: 0 }
  const session = new Session(owner, sink, init)
  // Answers what the frame cost.
  const receive = (fields: Partial<Payload>): number => {
    const payload = msg.payload(fields)
    const { payload: { byteLength }, endStream, compression, metadata, more } = payload
    const frameBytes = payloadFrameBytes(1, payload.reqID, byteLength, endStream, compression, metadata, more)
    session.handlePayload(payload, frameBytes)
    return frameBytes + 64
  }
  return { owner, sink, session, receive }
}

const bytes = (length: number): Uint8Array => new Uint8Array(length)

t.test('credit', async t => {
  await t.test('is returned when the application has taken half the window', t => {
    const { owner, sink, session, receive } = setUp()
    const cost = receive({ payload: bytes(30_000) })
    receive({ payload: bytes(30_000) })
    receive({ payload: bytes(30_000) })
    t.equal(session.peerCredit, WINDOW - 3 * cost)
    t.same(sink.costs, [cost, cost, cost])
    session.taken(cost)
    session.taken(cost)
    t.equal(owner.credited, 0, 'less than half')
    session.taken(cost)
    t.equal(owner.credited, 3 * cost)
    t.equal(session.peerCredit, WINDOW)
    t.end()
  })

  await t.test('overrun is a fault of the session', t => {
    const { session, receive } = setUp()
    receive({ payload: bytes(60_000) })
    receive({ payload: bytes(60_000) })
    t.throws(() => { receive({ payload: bytes(60_000) }) }, { scope: 'session', category: Category.ResourceExhausted, code: ErrorCode.FLOW_CONTROL, message: 'flow control window exceeded' })
    t.notOk(session.isClosed, 'which the connection turns into the Close')
    t.end()
  })

  await t.test('the free ones cost nothing', t => {
    const stream = setUp()
    stream.receive({ endStream: true })
    t.equal(stream.session.peerCredit, WINDOW)
    t.throws(() => { stream.receive({ endStream: true }) }, ProtocolError, 'a second end')

    const request = setUp(RpcType.Synchronous)
    request.receive({ reqID: 1, errCode: 3 })
    t.equal(request.session.peerCredit, WINDOW)
    request.receive({ reqID: 2, endStream: true })
    t.ok(request.session.peerCredit < WINDOW, 'EndStream frees nothing on a synchronous session')

    const withMetadata = setUp()
    withMetadata.receive({ endStream: true, metadata: [{ key: 'a', value: text('b') }] })
    t.equal(withMetadata.session.peerCredit < WINDOW, true, 'an end with metadata is no empty one')
    t.end()
  })

  await t.test('First is neither charged nor credited', t => {
    const { owner, session, sink } = setUp()
    session.handleFirst(msg.first({ payload: bytes(60_000) }))
    t.equal(session.peerCredit, WINDOW)
    t.same(sink.costs, [0])
    session.taken(0)
    t.equal(owner.credited, 0)
    t.end()
  })

  await t.test('after the end nothing is returned', t => {
    const { owner, session, receive } = setUp()
    const cost = receive({ payload: bytes(60_000) }) + receive({ payload: bytes(60_000) })
    session.finish()
    session.taken(cost)
    t.equal(owner.credited, 0)
    t.end()
  })

  await t.test('a peer that grants too much is at fault', t => {
    const { session } = setUp()
    session.handleWindowUpdate(1000)
    t.throws(() => { session.handleWindowUpdate(0x7fffffff) }, { code: ErrorCode.FLOW_CONTROL })
    t.end()
  })
})

t.test('chunks', async t => {
  const chunk = (fields: Partial<Payload> = {}): Partial<Payload> => ({ payload: bytes(30_000), more: true, ...fields })

  await t.test('with a place are credited as they come; the place is kept until somebody takes the message', t => {
    const owner = new Owner()
    const one = setUp(RpcType.BiDirectional, { owner })
    const two = setUp(RpcType.BiDirectional, { owner })
    for (let i = 0; i < 10; i++) one.receive(chunk())
    t.equal(one.session.assembly?.length, 300_000)
    one.receive(chunk({ more: false, endStream: true }))
    t.same(one.sink.events, ['message 330000', 'end'])

    for (let i = 0; i < 4; i++) two.receive(chunk())
    t.throws(() => { two.receive(chunk()) }, { code: ErrorCode.FLOW_CONTROL }, 'the second has no place and stands at its window')
    one.session.taken(one.sink.costs[0] ?? 0)
    t.end()
  })

  await t.test('the next in line gets the place when the message was taken', t => {
    const owner = new Owner()
    const one = setUp(RpcType.BiDirectional, { owner })
    const two = setUp(RpcType.BiDirectional, { owner })
    for (let i = 0; i < 10; i++) one.receive(chunk())
    one.receive(chunk({ more: false }))
    for (let i = 0; i < 4; i++) two.receive(chunk())
    const before = owner.credited
    one.session.taken(one.sink.costs[0] ?? 0)
    t.ok(owner.credited - before > 100_000, 'what was stored is credited')
    for (let i = 0; i < 4; i++) two.receive(chunk())
    two.receive(chunk({ more: false }))
    t.same(two.sink.events, ['message 270000'])
    t.end()
  })

  await t.test('small messages between do not give a kept place away', t => {
    const owner = new Owner()
    const one = setUp(RpcType.BiDirectional, { owner })
    const two = setUp(RpcType.BiDirectional, { owner })
    one.session.handleFirst(msg.first({ payload: text('first') }))
    for (let i = 0; i < 10; i++) one.receive(chunk())
    one.receive(chunk({ more: false }))
    // A message in two chunks, whole without a place; a First, which costs nothing, is taken.
    one.receive({ payload: bytes(5000), more: true })
    one.receive({ payload: bytes(5000) })
    one.session.taken(one.sink.costs[0] ?? 0)
    for (let i = 0; i < 4; i++) two.receive(chunk())
    t.throws(() => { two.receive(chunk()) }, { code: ErrorCode.FLOW_CONTROL })
    t.end()
  })

  await t.test('of other requests may not go between, whole messages may', t => {
    const { sink, receive } = setUp(RpcType.Synchronous)
    receive(chunk({ reqID: 1 }))
    receive({ reqID: 2, payload: bytes(10) })
    t.throws(() => { receive(chunk({ reqID: 3 })) }, { message: 'two unfinished messages' })
    receive({ reqID: 1, payload: bytes(10) })
    t.same(sink.events, ['message 10', 'message 30010'])
    t.same(sink.messages.map((message) => message.reqID), [2, 1])
    t.end()
  })

  await t.test('an ErrCode ends the answer that had begun', t => {
    const { owner, session, sink, receive } = setUp(RpcType.Synchronous)
    receive(chunk({ reqID: 1 }))
    receive({ reqID: 1, errCode: 5, error: 'no' })
    t.equal(session.assembly, undefined)
    t.match(sink.messages, [{ reqID: 1, errCode: 5 }])
    const other = setUp(RpcType.BiDirectional, { owner })
    for (let i = 0; i < 10; i++) other.receive(chunk())
    t.equal(other.session.assembly?.length, 300_000, 'the place is free again')
    t.end()
  })

  await t.test('a Cancel forgets what was stored and credits it', t => {
    const { session, sink, receive } = setUp(RpcType.Synchronous, { settings: { reassemblyPlaces: 1 } })
    receive(chunk({ reqID: 1 }))
    receive(chunk({ reqID: 1 }))
    session.handleCancel(2)
    t.ok(session.assembly, 'another one')
    session.handleCancel(1)
    t.equal(session.assembly, undefined)
    t.same(sink.events, ['cancel 2', 'bad 1 1'], 'and the request gets its one answer')
    receive({ reqID: 1, payload: bytes(3) })
    t.same(sink.events.at(-1), 'message 3', 'and the number begins anew')
    t.end()
  })

  await t.test('beyond the maximum: the request is bad, the rest is thrown away and credited', t => {
    const { owner, session, sink, receive } = setUp(RpcType.Synchronous, { settings: { maxRecvMsgSize: 50_000 } })
    let cost = receive(chunk({ reqID: 1 }))
    cost += receive(chunk({ reqID: 1 }))
    t.same(sink.events, ['bad 1 8'])
    for (let i = 0; i < 6; i++) cost += receive(chunk({ reqID: 1 }))
    t.throws(() => { receive({ reqID: 1, payload: bytes(1), more: true }) }, { message: 'chunk too small' }, 'rules hold there too')
    cost += receive({ reqID: 1, payload: bytes(10) })
    t.equal(session.assembly, undefined)
    t.ok(owner.credited > cost / 2)
    receive({ reqID: 1, payload: bytes(10) })
    t.same(sink.events, ['bad 1 8', 'message 10'])
    t.end()
  })

  await t.test('beyond the maximum on a stream: it is closed', t => {
    const { owner, sink, receive } = setUp(RpcType.BiDirectional, { settings: { maxRecvMsgSize: 50_000 } })
    receive(chunk())
    receive(chunk())
    t.match(owner.controls.at(-1), { errCode: Category.ResourceExhausted })
    t.match(sink.events, [/^fail 8/])
    t.same(owner.released, [1])
    t.end()
  })

  await t.test('the time for the next chunk begins anew when the peer gets credit', t => {
    const owner = new Owner()
    const one = setUp(RpcType.BiDirectional, { owner })
    const two = setUp(RpcType.BiDirectional, { owner })
    one.receive(chunk())
    for (let i = 0; i < 4; i++) two.receive(chunk())
    owner.clock.advance(40_000)
    one.receive({ payload: bytes(1) })
    one.session.taken(one.sink.costs[0] ?? 0)
    t.equal(two.session.assembly?.lastChunkAt, 40_000)
    t.end()
  })

  await t.test('a place or the wish for one ends with the session', t => {
    const owner = new Owner()
    const sessions = [setUp(RpcType.BiDirectional, { owner }), setUp(RpcType.BiDirectional, { owner }), setUp(RpcType.BiDirectional, { owner })] as const
    for (const { receive } of sessions) receive(chunk())
    sessions[1].session.close(undefined)
    sessions[0].session.fail(new RpcError(Category.Unavailable, 'lost'))
    const { receive } = sessions[2]
    for (let i = 0; i < 10; i++) receive(chunk())
    t.pass('the third has it')
    t.end()
  })
})

t.test('ends', async t => {
  await t.test('close tells the peer, once', async t => {
    const { owner, session, sink } = setUp()
    owner.room = false
    const sending = watch(session.send(text('x')))
    session.close(new RpcError(Category.NotFound, 'no'), [{ key: 'k', value: text('v') }])
    session.close(undefined)
    session.fault(new ProtocolError('again', { scope: 'session' }))
    session.fail(new RpcError(Category.Internal, 'again'))
    session.cancel(0, new RpcError(Category.Canceled, 'again'))
    await settle()
    t.equal(sending.error?.category, Category.NotFound, 'what waits is dropped')
    t.match(owner.controls, [{ sessionID: 1, errCode: Category.NotFound, error: 'no', metadata: [{ key: 'k' }] }])
    t.same(owner.released, [1])
    t.same(sink.events, [], 'the sink knows')
  })

  await t.test('trailers that are too large are left out', t => {
    const { owner, session } = setUp()
    session.close(undefined, [{ key: 'k', value: bytes(100_000) }])
    t.equal((owner.controls[0] as Close).metadata.length, 0)
    t.end()
  })

  await t.test('closeAfterAll waits for what was accepted', t => {
    const { owner, session } = setUp()
    owner.room = false
    session.send(text('x'))?.catch(() => {})
    let closed = 0
    session.closeAfterAll(undefined, [], () => { closed++ })
    t.equal(owner.controls.length, 0)
    owner.turns()
    t.equal(closed, 1)
    t.equal(owner.written.length, 1)
    t.equal(owner.controls.length, 1)
    session.closeAfterAll(undefined, [], () => { closed++ })
    t.equal(closed, 2, 'closed already')
    t.end()
  })

  await t.test('a fault tells both', t => {
    const { owner, session, sink } = setUp()
    session.fault(new ProtocolError('broken', { scope: 'session', category: Category.InvalidArgument }))
    t.match(owner.controls, [{ errCode: Category.InvalidArgument, error: 'broken' }])
    t.same(sink.events, ['fail 3 broken'])
    t.end()
  })

  await t.test('cancel of one request leaves the session, cancel of all ends it', async t => {
    const { owner, session } = setUp(RpcType.Synchronous)
    session.cancel(7, new RpcError(Category.Canceled, 'x'))
    t.notOk(session.isClosed)
    session.cancel(0, new RpcError(Category.Canceled, 'x'))
    t.ok(session.isClosed)
    t.same((owner.controls as Cancel[]).map((cancel) => cancel.reqID), [7, 0])
    const late = watch(session.send(text('x')))
    await settle()
    t.equal(late.error?.category, Category.Canceled)
  })

  await t.test('finish says nothing', async t => {
    const { owner, session } = setUp()
    session.finish()
    const late = watch(session.send(text('x')))
    await settle()
    t.equal(late.error, SESSION_CLOSED)
    t.same(owner.controls, [])
    session.taken(1e6)
  })

  await t.test('send after end', async t => {
    const { owner, session } = setUp()
    session.end()
    session.end()
    t.equal(owner.written.length, 1, 'one end')
    const late = watch(session.send(text('x')))
    await settle()
    t.equal(late.error?.code, ErrorCode.SEND_AFTER_END)
    t.equal(session.outbox.sentMessages, 0, 'an end is no message')
  })

  await t.test('sendLast ends with the message', t => {
    const { owner, session } = setUp()
    watch(session.sendLast(text('x')))
    t.match(owner.written, [{ endStream: true }])
    t.equal(session.state, 'sendEnded')
    t.end()
  })

  await t.test('an end of the peer with content is a message and an end', t => {
    const { sink, receive } = setUp()
    receive({ payload: text('last'), endStream: true })
    t.same(sink.events, ['message 4', 'end'])
    t.end()
  })

  await t.test('a sink that closes while it gets the last message is not told of the end', t => {
    const { sink, session, receive } = setUp()
    sink.onMessage = () => { session.close(undefined) }
    receive({ payload: text('last'), endStream: true })
    t.same(sink.events, [])
    t.end()
  })
})

t.test('toward a 1.0 peer', async t => {
  await t.test('what is unread is held, without credit', t => {
    const { owner, session, receive } = setUp(RpcType.BiDirectional, { isMinor1: false })
    const cost = receive({ payload: bytes(500_000) })
    receive({ payload: bytes(500_000) })
    t.equal(owner.held, 2 * cost)
    t.equal(session.heldBytes, 2 * cost)
    session.taken(cost)
    t.equal(owner.held, cost)
    t.same(owner.controls, [])
    t.end()
  })

  await t.test('what is held is given back once when the session ends, whatever is read later', t => {
    const { owner, session, receive } = setUp(RpcType.BiDirectional, { isMinor1: false })
    const cost = receive({ payload: bytes(1000) })
    session.close(undefined)
    t.equal(owner.held, 0)
    session.taken(cost)
    t.equal(owner.held, 0)
    t.equal(session.heldBytes, 0)
    t.end()
  })

  await t.test('what no handler will take is thrown away and not counted', t => {
    const { owner, sink, session, receive } = setUp(RpcType.Recv, { isMinor1: false })
    session.endReceiving()
    receive({ payload: bytes(1000) })
    receive({ endStream: true })
    t.same(sink.events, [])
    t.equal(owner.held, 0)
    t.end()
  })

  await t.test('an end of the peer is not held', t => {
    const { owner, sink, receive } = setUp(RpcType.BiDirectional, { isMinor1: false })
    receive({ endStream: true })
    t.same(sink.events, ['end'])
    t.equal(owner.held, 0)
    t.end()
  })

  await t.test('a message too large closes the session', t => {
    const { owner, sink, receive } = setUp(RpcType.Synchronous, { isMinor1: false, settings: { maxRecvMsgSize: 10 } })
    receive({ payload: bytes(11) })
    t.match(owner.controls, [{ errCode: 8 }])
    t.match(sink.events, [/^fail 8/])
    t.equal(owner.held, 0)
    t.end()
  })
})
