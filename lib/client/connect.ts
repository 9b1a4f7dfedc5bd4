/** From a URL to a client: makes the WebSocket, waits until it is open. */
import type { ConnectOptions, WebSocketClass } from '../../types/client-options.js'
import type { Transport } from '../../types/transport.js'
import { Category, ErrorCode, RpcError } from '../errors.js'
import { systemClock } from '../clock.js'
import { webSocketTransport } from '../transport/websocket.js'
import type { WebSocketLike } from '../transport/websocket-browser.js'
import { Client } from './client.js'
import { resolveNumbers } from './client-options.js'
import { misuse } from './misuse.js'

/**
 * Connects to a server: to a URL (`wss://example.org/rpc`; in a page also a path) or over a transport that
 * is connected already.
 * @throws RpcError Unavailable CLAW_ERR_CONNECT_FAILED when the socket does not open, Canceled when the
 * signal aborts, TypeError where there is no WebSocket class or an option is wrong.
 */
export async function connect (target: string | URL | Transport, options: ConnectOptions = {}): Promise<Client> {
  if (typeof target === 'object' && 'write' in target) return new Client(target, options)
  const { connectTimeoutMs } = resolveNumbers(options)
  const { signal, webSocketOptions } = options
  const Socket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket
  if (Socket === undefined) throw misuse(ErrorCode.ARGUMENT_INVALID, 'there is no global WebSocket: pass one in, for example { WebSocket } from the package ws')
  if (signal?.aborted === true) throw canceled(signal)
  const url = absoluteUrl(target)
  const socket = (webSocketOptions === undefined ? new Socket(url) : new Socket(url, [], webSocketOptions as never)) as WebSocketLike
  // Before anything can arrive: messages are kept until the client starts.
  const transport = webSocketTransport(socket)
  try {
    await opened(socket, connectTimeoutMs, signal)
  } catch (error) {
    transport.destroy()
    throw error
  }
  return new Client(transport, options)
}

function absoluteUrl (target: string | URL): string {
  const page = (globalThis as { location?: { href?: string } }).location?.href
  const url = page === undefined ? new URL(target) : new URL(target, page)
  // http(s) is what a page has at hand; a WebSocket wants ws(s).
  url.protocol = url.protocol.replace(/^http/, 'ws')
  return url.href
}

function opened (socket: WebSocketLike, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: RpcError): void => {
      timer.stop()
      socket.removeEventListener('open', onOpen)
      socket.removeEventListener('error', onError)
      socket.removeEventListener('close', onClose)
      signal?.removeEventListener('abort', onAbort)
      if (error === undefined) resolve()
      else reject(error)
    }
    const onOpen = (): void => { settle() }
    const onError = (event: unknown): void => { settle(failed(textOf(event))) }
    const onClose = (): void => { settle(failed('the socket was closed')) }
    const onAbort = (): void => { settle(canceled(signal)) }
    const timer = systemClock.timer(timeoutMs, () => { settle(failed(`no connection within ${timeoutMs} ms`)) })
    socket.addEventListener('open', onOpen)
    socket.addEventListener('error', onError)
    socket.addEventListener('close', onClose)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

function textOf (event: unknown): string {
  const { message } = event as { message?: unknown }
  return typeof message === 'string' && message !== '' ? message : 'the socket could not be opened'
}

function failed (text: string): RpcError { return new RpcError(Category.Unavailable, `connect failed: ${text}`, { code: ErrorCode.CONNECT_FAILED }) }
function canceled (signal: AbortSignal | undefined): RpcError { return new RpcError(Category.Canceled, 'connect was canceled', { cause: signal?.reason }) }
