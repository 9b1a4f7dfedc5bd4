// A server and a client joined in memory, without Fastify and without sockets, and a log that can be read.
import type { Test } from 'tap'
import { Client } from '../../lib/client/client.js'
import { RpcError } from '../../lib/errors.js'
import { Server } from '../../lib/server/server.js'
import type { ServerConn } from '../../lib/server/server-conn.js'
import { memoryPair } from '../../lib/transport/memory.js'
import type { ClientOptions } from '../../types/client-options.js'
import type { Clock } from '../../types/clock.js'
import type { LogFunction, Logger } from '../../types/logger.js'
import type { ServerOptions } from '../../types/options.js'

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** One line of a log, with what the child loggers before it have added. */
export interface EngineLogLine { level: string, msg: string, [field: string]: unknown }

export interface EngineOptions {
  server?: ServerOptions
  client?: ClientOptions
  clock?: Clock
}

export interface Engine {
  server: Server
  client: Client
  connection: ServerConn
  log: EngineLogLine[]
}

/** Both ends of one connection; destroyed after the test. Register handlers before or after. */
export function makeEngine (t: Test, { server: serverOptions = {}, client: clientOptions = {}, clock }: EngineOptions = {}): Engine {
  // A connection in memory holds no handle: without one the process would end while the test waits.
  const alive = setInterval(() => {}, 1000)
  const log: EngineLogLine[] = []
  const [atServer, atClient] = memoryPair({ remoteAddress: '192.0.2.1' })
  const server = new Server(serverOptions, clock === undefined ? {} : { clock })
  const connection = server.connect(atServer, { log: logInto(log) })
  const client = clock === undefined ? new Client(atClient, clientOptions) : new Client(atClient, clientOptions, clock)
  t.teardown(async () => {
    client.destroy()
    await connection.closed
    clearInterval(alive)
  })
  return { server, client, connection, log }
}

/** A logger that keeps its lines. */
export function logInto (lines: EngineLogLine[], bindings: Record<string, unknown> = {}): Logger {
  const at = (level: string): LogFunction => (fields: object | string, message?: string) => {
    lines.push(typeof fields === 'string' ? { level, ...bindings, msg: fields } : { level, ...bindings, ...fields, msg: message ?? '' })
  }
  return {
    fatal: at('fatal'),
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    trace: at('trace'),
    child: (more) => logInto(lines, { ...bindings, ...more })
  }
}

/** What an iterable yields, as texts. */
export async function texts (iterable: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found: string[] = []
  for await (const chunk of iterable) found.push(text(chunk))
  return found
}

/** What a promise fails with, which must be an RpcError. */
export async function failureOf (promise: Promise<unknown>): Promise<RpcError> {
  const error = await promise.then(() => new Error('it did not fail'), (error: unknown) => error)
  if (!RpcError.is(error)) throw error
  return error
}
