// The two ends of an interop test over each transport: our server for a Go client, our client for a Go server.
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import Fastify from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/index.js'
import type { Client, ClientOptions } from '../../lib/client/index.js'
import { nodeGzip } from '../../lib/compression/node-gzip.js'
import { nodeZstd } from '../../lib/compression/node-zstd.js'
import { snappy } from '../../lib/compression/snappy.js'
import { Server, duplexTransport, rpcPlugin } from '../../lib/index.js'
import type { ServerOptions, ServerStats } from '../../lib/index.js'
import { GoProgram } from './go.js'
import { registerService } from './service.js'

export type Via = 'tcp' | 'ws'
export const VIAS: readonly Via[] = ['tcp', 'ws']

/** Zstd is not everywhere (node:zlib 22.15, or the package zstd-napi). */
export const zstd = await nodeZstd().catch(() => undefined)
export const COMPRESSIONS = [{ name: 'gzip', id: 1 }, { name: 'snappy', id: 2 }, { name: 'zstd', id: 3 }] as const

/** Our server, listening. Over WebSocket it is the plugin, over TCP the engine. */
export async function ourServer (t: Test, via: Via, options: ServerOptions = {}): Promise<{ address: string, stats: () => ServerStats, shutdown: () => Promise<unknown> }> {
  if (via === 'ws') {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await app.register(rpcPlugin, options)
    registerService(app.rpc)
    await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    return { address: `ws://127.0.0.1:${port}/rpc`, stats: () => app.rpc.stats(), shutdown: async () => { await app.close() } }
  }
  const server = await Server.create(options)
  registerService(server)
  const sockets = new Set<Socket>()
  const listener = createServer((socket) => {
    sockets.add(socket)
    server.serve(duplexTransport(socket)).catch((error: unknown) => { t.error(error) })
  })
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  return { address: `tcp://127.0.0.1:${port}`, stats: () => server.stats(), shutdown: async () => await server.shutdown() }
}

/** A Go server, and what makes clients of ours for it. */
export class GoServer {
  readonly program: GoProgram
  readonly #address: string
  readonly #test: Test

  private constructor (t: Test, program: GoProgram, address: string) {
    this.#test = t
    this.program = program
    this.#address = address
  }

  static async start (t: Test, programs: string, via: Via, flags: readonly string[] = []): Promise<GoServer> {
    const program = new GoProgram(t, `${programs}/serve`, flags)
    return new GoServer(t, program, (await program.line())[via] as string)
  }

  /** A client of ours. */
  async client (options: ClientOptions = {}): Promise<Client> {
    const compressors = [nodeGzip(), snappy(), ...(zstd === undefined ? [] : [zstd])]
    const url = new URL(this.#address)
    const target = url.protocol === 'ws:' ? url : duplexTransport(connectTcp(Number(url.port), url.hostname))
    const client = await connect(target, { WebSocket, compressors, ...options })
    this.#test.teardown(() => { client.destroy() })
    return client
  }

  /** What the Go server has counted. */
  async stats (): Promise<{ pings: number, bodyless: number, sent: number }> {
    const client = await this.client()
    const answer = await client.sync('interop', 'Test', 'Stats').call(new Uint8Array(1))
    await client.close()
    return JSON.parse(new TextDecoder().decode(answer)) as { pings: number, bodyless: number, sent: number }
  }
}
