// A Fastify app on 127.0.0.1 whose log can be read, clients of it, and gates to hold handlers at.
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { Writable } from 'node:stream'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/connect.js'
import type { Client } from '../../lib/client/client.js'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { encodeMessage } from '../../lib/wire/encode.js'
import { Open } from '../../lib/wire/message.js'
import type { ConnectOptions } from '../../types/client-options.js'
import type { Socket } from 'node:net'

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** Lines of a log, parsed. */
export interface LogLine { level: number, msg: string, reqId?: string, err?: { message: string, stack: string }, [field: string]: unknown }

/** An app that is closed after the test, and its log. */
export function makeApp (t: Test, options: FastifyServerOptions = {}): { app: FastifyInstance, log: LogLine[] } {
  const log: LogLine[] = []
  const stream = new Writable({
    write (chunk: Buffer, _encoding, done) {
      log.push(JSON.parse(chunk.toString()) as LogLine)
      done()
    }
  })
  const app = Fastify({ logger: { level: 'trace', stream }, ...options }) as FastifyInstance
  t.teardown(async () => { await app.close() })
  return { app, log }
}

/** Listens on a free port; answers its number. */
export async function listen (app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return portOf(app)
}

export function portOf (app: FastifyInstance): number {
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('the app does not listen')
  return address.port
}

/** A client over a real socket, destroyed after the test. */
export async function connectTo (t: Test, app: FastifyInstance, { path = '/rpc', ...options }: ConnectOptions & { path?: string } = {}): Promise<Client> {
  const client = await connect(`ws://127.0.0.1:${portOf(app)}${path}`, { WebSocket, ...options })
  t.teardown(() => { client.destroy() })
  return client
}

/** A WebSocket that does nothing by itself, open. */
export async function openSocket (t: Test, app: FastifyInstance, path = '/rpc', headers: Record<string, string> = {}): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}`, { headers })
  t.teardown(() => { socket.terminate() })
  await once(socket, 'open')
  return socket
}

/** The status that an upgrade is refused with, and the body that says why; 101 when it is not. */
export async function upgradeStatus (t: Test, app: FastifyInstance, path = '/rpc', headers: Record<string, string> = {}): Promise<{ status: number, body: Record<string, unknown> }> {
  const socket = new WebSocket(`ws://127.0.0.1:${portOf(app)}${path}`, { headers })
  t.teardown(() => { socket.terminate() })
  return await new Promise((resolve, reject) => {
    socket.on('open', () => { resolve({ status: 101, body: {} }) })
    socket.on('error', reject)
    socket.on('unexpected-response', (request, response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => { body += chunk.toString() })
      response.on('end', () => {
        request.destroy()
        resolve({ status: response.statusCode ?? 0, body: body === '' ? {} : JSON.parse(body) as Record<string, unknown> })
      })
    })
  })
}

const HANDSHAKE = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==']

/** A TCP socket that asks for the upgrade and keeps itself open; with what the server has answered so far. */
export async function rawUpgrade (t: Test, app: FastifyInstance, path = '/rpc'): Promise<{ socket: Socket, answer: string }> {
  const socket = connectTcp({ host: '127.0.0.1', port: portOf(app), allowHalfOpen: true })
  t.teardown(() => { socket.destroy() })
  socket.on('error', () => {})
  socket.write([`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', ...HANDSHAKE, '', ''].join('\r\n'))
  const [answer] = await once(socket, 'data') as [Buffer]
  return { socket, answer: answer.toString() }
}

/** Names and kind of an RPC, as in an Open. */
export interface OpenOf { package: string, service: string, call: string, type: number }

/** The frame of a 1.1 client's first Open. */
export function openFrame (rpc: OpenOf): Uint8Array {
  const open = new Open()
  open.openID = 1
  Object.assign(open.descr, rpc)
  open.protocolMajor = 1
  open.protocolMinor = 1
  open.window = 65_536
  const writer = new ByteWriter()
  encodeMessage(writer, open)
  return writer.take()
}

/**
 * A peer that shakes hands, opens a session and then never does anything again, not even read: no pong, no close, no FIN.
 */
export async function mutePeer (t: Test, app: FastifyInstance, rpc: OpenOf): Promise<Socket> {
  const { socket } = await rawUpgrade(t, app)
  const frame = openFrame(rpc)
  const { byteLength } = frame
  const header = Buffer.from([0x82, 0x80 | 126, byteLength >> 8, byteLength & 0xff, 0, 0, 0, 0]) // a mask of zeros leaves the bytes as they are
  socket.write(Buffer.concat([header, frame]))
  socket.pause()
  return socket
}

/** Something that is waited for until it is opened. */
export class Gate {
  readonly opened: Promise<void>
  open: () => void = () => {}

  constructor () {
    this.opened = new Promise((resolve) => { this.open = resolve })
  }
}

/** Counts arrivals; resolves when so many have come. */
export class Arrivals {
  #count = 0
  #waiting: { count: number, resolve: () => void }[] = []

  get count (): number { return this.#count }

  arrive (): void {
    this.#count++
    for (const { count, resolve } of this.#waiting) if (this.#count >= count) resolve()
  }

  async reach (count: number): Promise<void> {
    if (this.#count < count) await new Promise<void>((resolve) => { this.#waiting.push({ count, resolve }) })
  }
}
