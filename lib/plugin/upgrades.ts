/**
 * How upgrade requests find @fastify/websocket when the host has not registered it before this plugin.
 *
 * @fastify/websocket can be registered once in a scope and its parents, and the host may want to do that later. So ours
 * lives in a scope of our own, where it is in nobody's way, and does not listen to the HTTP server: two listeners would
 * each route the same request. It listens to a private emitter, and we pass on what no other listener took.
 *
 *   HTTP server --upgrade--> [host's, if there is one] --> UpgradeDoor --not taken--> private emitter --> ours
 *
 * Whichever took it, Fastify's router is asked, with all hooks, and our route is found.
 */
import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server as HttpServer, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { finished } from 'node:stream'
import type { Duplex } from 'node:stream'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'

/** How long `ws` may wait for a peer's answer to a close frame, milliseconds; its own default is 30 s. */
const CLOSE_TIMEOUT_MS = 1000
/** What @fastify/websocket notes on a request that it has taken, by its description. */
const TAKEN = 'ws-socket'
const SERVICE_UNAVAILABLE = 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

/**
 * Listens behind the others to the upgrades of one app, from onReady to onClose. Also when the host has its own
 * @fastify/websocket: that one stops to listen when the app closes, and an upgrade that nobody takes would keep its
 * socket, and `close()`, for as long as the peer likes.
 */
export class UpgradeDoor {
  readonly #server: HttpServer
  readonly #isDraining: () => boolean
  #ours: EventEmitter | undefined

  constructor (server: HttpServer, isDraining: () => boolean) {
    this.#server = server
    this.#isDraining = isDraining
  }

  open (): void { this.#server.on('upgrade', this.#handleUpgrade) }
  close (): void { this.#server.off('upgrade', this.#handleUpgrade) }

  /** Registers @fastify/websocket in a scope of this plugin. */
  async registerWebSocket (scope: FastifyInstance, maxPayload: number): Promise<void> {
    const emitter = this.#ours = new EventEmitter()
    const { routing } = scope
    // It routes through its scope's `routing`. Requests that end in an ordinary response, on whatever route, leave a
    // socket that the HTTP server no longer knows: it is ours to end.
    scope.routing = (request: IncomingMessage, response: ServerResponse) => {
      const { socket } = response
      response.once('finish', () => { if (socket !== null) end(socket) })
      routing(request, response)
    }
    const options = { server: emitter as HttpServer, maxPayload, perMessageDeflate: false, closeTimeout: CLOSE_TIMEOUT_MS }
    await scope.register(websocket, {
      options,
      errorHandler (error, _socket, request) { request.log.info({ err: error }, 'RPC connection failed') },
      // Its own would cut every socket, without a code. Ours are gone when this runs, after the drain.
      async preClose () { scope.websocketServer.close() }
    })
  }

  readonly #handleUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (takenSocket(request) !== undefined) {
      // Answered within the listener: while the app closes that is Fastify's 503, which runs no hooks, so that
      // @fastify/websocket does not know of it and leaves the socket open.
      if (isAnswered(socket)) end(socket)
    } else if (!this.#isDraining() && this.#ours !== undefined) {
      this.#ours.emit('upgrade', request, socket, head)
    } else if (this.#isDraining() || this.#server.listenerCount('upgrade') === 1) {
      // The host's has stopped to listen because the app closes.
      socket.on('error', () => { socket.destroy() })
      socket.write(SERVICE_UNAVAILABLE)
      end(socket)
    }
  }
}

/** Sends what was written and closes, whether the peer closes its half or not. */
function end (socket: Duplex): void {
  socket.end(() => { socket.destroy() })
}

/**
 * Whether the request came by `injectWS`, through streams in memory. Sees to it that such a stream is closed once it has
 * ended in both directions: a TCP socket does that by itself, these do not, and `ws` would wait for it.
 */
export function isInjected (request: IncomingMessage): boolean {
  if (request.socket instanceof Socket) return false
  const stream = takenSocket(request)
  if (stream !== undefined) finished(stream, () => { stream.destroy() })
  return true
}

/** The socket that @fastify/websocket has noted on the request. */
function takenSocket (request: IncomingMessage): Duplex | undefined {
  const symbol = Object.getOwnPropertySymbols(request).find(({ description }) => description === TAKEN)
  return symbol === undefined ? undefined : (request as unknown as Record<symbol, Duplex>)[symbol]
}

/** Whether the response that was assigned to the socket has been ended. */
function isAnswered (socket: Duplex & { _httpMessage?: ServerResponse | null }): boolean {
  return socket._httpMessage?.writableEnded === true
}
