// @ts-check
/**
 * The service `example.Echo`: one RPC of each kind and two that show errors and cancellation. Knows no Fastify:
 * it is registered on the plugin's `app.rpc` and, in engine-over-tcp.mjs, on a bare `Server`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { BiDirHandler, Category, RecvHandler, RpcError, SendHandler, SyncHandler } from 'fastify-claw'

const MAX_SLEEP_MS = 60_000
const MAX_COUNT = 1_000_000
const MAX_SIZE = 1024 * 1024

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/**
 * What Unary does, and `GET /api/echo/:text` too: the transport is no business of the code behind it.
 * @param {Uint8Array} bytes
 */
export function echo (bytes) { return bytes }

/** @param {Pick<import('fastify-claw').Server, 'register'>} rpc */
export function registerEcho (rpc) {
  rpc.register('example', 'Echo', 'Unary', new SyncHandler((_context, request) => echo(request)))

  rpc.register('example', 'Echo', 'Fail', new SyncHandler((_context, _request, metadata) => {
    const category = decimal(metadata.get('category'), 'metadata category', 1, Category.Unauthenticated)
    const message = metadata.get('message')
    if (message === undefined) throw invalid('metadata message is missing')
    throw new RpcError(/** @type {Category} */ (category), message)
  }))

  rpc.register('example', 'Echo', 'Sleep', new SyncHandler(async (context, request) => {
    const ms = decimal(decoder.decode(request), 'the request', 0, MAX_SLEEP_MS)
    // Ends at once when the caller cancels, its deadline passes or the connection is lost.
    await delay(ms, undefined, { signal: context.signal })
    return request
  }))

  rpc.register('example', 'Echo', 'Collect', new SendHandler(async (_context, stream) => {
    let count = 0
    let total = 0
    for await (const bytes of stream.recv()) {
      count++
      total += bytes.byteLength
    }
    stream.setTrailer({ count: String(count) })
    return encoder.encode(`${count} ${total}`)
  }))

  rpc.register('example', 'Echo', 'Repeat', new RecvHandler(async (context, stream) => {
    const count = decimal(context.metadata.get('count'), 'metadata count', 0, MAX_COUNT)
    const size = decimal(context.metadata.get('size'), 'metadata size', 0, MAX_SIZE)
    // Each send waits for the reader: a million messages need no more memory than one window of them.
    for (let i = 0; i < count; i++) await stream.send(new Uint8Array(size).fill(i))
    stream.setTrailer({ sent: String(count) })
  }))

  rpc.register('example', 'Echo', 'BiDi', new BiDirHandler(async (_context, stream) => {
    let echoed = 0
    for await (const bytes of stream.recv()) {
      await stream.send(bytes)
      echoed++
    }
    stream.setTrailer({ echoed: String(echoed) })
  }))
}

/**
 * A number in decimal digits, within bounds.
 * @param {string | undefined} text
 * @param {string} what
 * @param {number} least
 * @param {number} most
 */
function decimal (text, what, least, most) {
  const value = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : NaN
  if (value >= least && value <= most) return value
  throw invalid(text === undefined ? `${what} is missing` : `${what} must be a number from ${least} to ${most}`)
}

/** @param {string} message */
function invalid (message) { return new RpcError(Category.InvalidArgument, message) }
