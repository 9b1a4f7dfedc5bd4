// What the Go peer's `serve` serves, on our side: example.Echo as in example/echo.mjs, and interop.Test beside it.
import { setTimeout as delay } from 'node:timers/promises'
import { BiDirHandler, RecvHandler, RpcError, SendHandler, SyncHandler } from '../../lib/index.js'
import type { Category, RecvStream, Server } from '../../lib/index.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function registerService (server: Pick<Server, 'register'>): void {
  const echo = (call: string, handler: Parameters<Server['register']>[3]): void => { server.register('example', 'Echo', call, handler) }
  echo('Unary', new SyncHandler((_context, request) => request))
  echo('Fail', new SyncHandler((_context, _request, metadata) => {
    throw new RpcError(Number(metadata.get('category')) as Category, metadata.get('message') ?? '')
  }))
  echo('Sleep', new SyncHandler(async (context, request) => {
    await delay(Number(decoder.decode(request)), undefined, { signal: context.signal })
    return request
  }))
  echo('Collect', new SendHandler(async (_context, stream) => await collect(stream)))
  echo('Repeat', new RecvHandler(async (context, stream) => {
    const count = Number(context.metadata.get('count'))
    const size = Number(context.metadata.get('size'))
    for (let i = 0; i < count; i++) await stream.send(new Uint8Array(size).fill(i))
    stream.setTrailer({ sent: String(count) })
  }))
  echo('BiDi', new BiDirHandler(async (_context, stream) => {
    let echoed = 0
    for await (const bytes of stream.recv()) {
      await stream.send(bytes)
      echoed++
    }
    stream.setTrailer({ echoed: String(echoed) })
  }))

  const test = (call: string, handler: Parameters<Server['register']>[3]): void => { server.register('interop', 'Test', call, handler) }
  test('Meta', new SyncHandler((_context, _request, metadata) => encoder.encode([...metadata].map(([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`).sort().join('\n'))))
  test('Break', new RecvHandler(async (_context, stream) => {
    for (let i = 0; i < 3; i++) await stream.send(new Uint8Array(8).fill(i))
    throw new RpcError(15, 'the rest is lost')
  }))
  test('Hold', new SendHandler(async (context, stream) => {
    await delay(Number(context.metadata.get('ms')))
    return await collect(stream)
  }))
}

async function collect (stream: RecvStream): Promise<Uint8Array> {
  let count = 0
  let total = 0
  for await (const bytes of stream.recv()) {
    count++
    total += bytes.byteLength
  }
  stream.setTrailer({ count: String(count), total: String(total) })
  return encoder.encode(`${count} ${total}`)
}
