/**
 * A WebSocket as a transport (protocol 1.1, section 8: binary messages form one byte stream, a text message closes
 * with 1003). Chooses between the two kinds of WebSocket there are; each has its own file. Runs in browsers.
 */
import { BrowserWebSocketTransport } from './websocket-browser.js'
import { WsTransport } from './websocket-ws.js'
import { systemClock } from '../clock.js'
import type { Clock } from '../../types/clock.js'
import type { Transport } from '../../types/transport.js'
import type { WebSocketLike } from './websocket-browser.js'
import type { WsSocket } from './websocket-ws.js'

/** What the WebSocket itself does not know. */
export interface WebSocketTransportOptions {
  /** Address of the peer, for logs and handlers. */
  remoteAddress?: string
  /**
   * Copies every write. For a `ws` socket over a stream in memory (`injectWS` of @fastify/websocket), which would hand
   * the writer's memory to a reader in this process, who keeps it while the writer uses it again.
   */
  copiesWrites?: boolean
  /**
   * After so many bytes of a `ws` socket the other sockets of the process have their turn, so that one peer that sends
   * without an end does not hold up all others. Never when absent.
   */
  restBytes?: number
  /** Times the looks at `bufferedAmount`, which browsers have instead of a callback. The system's when absent. */
  clock?: Clock
}

/**
 * A transport over a WebSocket, which it owns from now on. The socket may still be connecting: messages are kept until
 * `start`, which is to be called once the socket is open. Made by `ws` (also what @fastify/websocket hands out) it is
 * used through the faster interface of `ws`, otherwise through that of the WHATWG.
 */
export function webSocketTransport (socket: WebSocketLike | WsSocket, options: WebSocketTransportOptions = {}): Transport {
  if (isWsSocket(socket)) return new WsTransport(socket, options.copiesWrites === true, options.restBytes ?? Infinity, options.remoteAddress)
  return new BrowserWebSocketTransport(socket, options.clock ?? systemClock, options.remoteAddress)
}

/** `ws` is told by what it has beyond the standard, so that it need not be imported. */
function isWsSocket (socket: WebSocketLike | WsSocket): socket is WsSocket {
  return 'terminate' in socket && typeof socket.terminate === 'function' &&
    'on' in socket && typeof socket.on === 'function'
}
