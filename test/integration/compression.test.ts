// Payloads compressed both ways, per message, between a client and a server that know the formats.
import t from 'tap'
import type { Test } from 'tap'
import { connect, memoryPair } from '../../lib/client/index.js'
import { gzip } from '../../lib/compression/gzip.js'
import { nodeZstd } from '../../lib/compression/node-zstd.js'
import { snappy } from '../../lib/compression/snappy.js'
import { zstdDecoder } from '../../lib/compression/zstd.js'
import { Category } from '../../lib/errors.js'
import { BiDirHandler, SyncHandler } from '../../lib/server/handlers.js'
import { Server } from '../../lib/server/server.js'
import type { Client } from '../../lib/client/index.js'
import type { Compressor } from '../../types/compressor.js'
import type { ClientOptions } from '../../types/client-options.js'
import type { ServerOptions } from '../../types/options.js'

const hasZstd = await nodeZstd().then(() => true, () => false)

const pattern = new TextEncoder().encode('the same words again and again, ').slice()
function text (bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => pattern[i % pattern.length] as number)
}

/** Both ends in one process, kept alive: memory transports hold no handle. */
async function pair (t: Test, serverOptions: ServerOptions, clientOptions: ClientOptions): Promise<{ server: Server, client: Client }> {
  const alive = setInterval(() => {}, 1000)
  const server = await Server.create(serverOptions)
  server.register('p', 'S', 'Echo', new SyncHandler((_context, request) => request))
  server.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => { for await (const bytes of stream.recv()) await stream.send(bytes) }))
  const [far, near] = memoryPair()
  const serving = server.serve(far)
  const client = await connect(near, clientOptions)
  t.teardown(async () => {
    await client.close()
    await serving
    clearInterval(alive)
  })
  return { server, client }
}

for (const [name, compressor] of [['gzip', gzip()], ['snappy', snappy()]] as const) {
  t.test(`${name}: both directions, kept only where it pays, order kept`, async (t) => {
    const { server, client } = await pair(t, { compression: name }, { compression: compressor.id, compressors: [compressor] })
    const echo = client.sync('p', 'S', 'Echo')
    for (const size of [0, 1, 1023, 1024, 100_000, 1_000_000]) {
      t.equal(Buffer.compare(await echo.call(text(size)), text(size)), 0, `${size} bytes`)
    }
    t.ok(server.stats().bytesReceived < 300_000, `${server.stats().bytesReceived} bytes crossed for more than a million`)
    // A large message compresses off the loop, small ones at once: they must not overtake it.
    const chat = client.biDir('p', 'S', 'Chat')
    const sizes = [500_000, 10, 200_000, 2000, 0]
    const sent = Promise.all(sizes.map((size) => chat.send(text(size))))
    chat.closeSend()
    const got: number[] = []
    for await (const bytes of chat.recv()) got.push(bytes.byteLength)
    await sent
    t.strictSame(got, sizes)
  })
}

t.test('a format of the user\'s own, known to both sides', async (t) => {
  // Runs of one byte: how often, and which.
  const runs: Compressor = {
    id: 200,
    name: 'runs',
    compress: (bytes) => Uint8Array.from([bytes.byteLength >> 8, bytes.byteLength & 0xff, bytes[0] ?? 0]),
    decompress: ([high = 0, low = 0, byte = 0]) => new Uint8Array((high << 8) + low).fill(byte)
  }
  const { server, client } = await pair(t, { compressors: [runs] }, { compression: 200, compressors: [runs] })
  const echo = client.sync('p', 'S', 'Echo')
  await echo.call(text(5))
  const before = server.stats().bytesReceived
  t.equal(Buffer.compare(await echo.call(new Uint8Array(60_000).fill(7)), new Uint8Array(60_000).fill(7)), 0)
  t.ok(server.stats().bytesReceived - before < 200, 'it travelled in this format')
})

t.test('zstd from the server, read by the decoder for browsers and by the server\'s own', { skip: !hasZstd && 'neither this Node nor zstd-napi' }, async (t) => {
  for (const compressors of [[zstdDecoder()], [await nodeZstd()]]) {
    const { server, client } = await pair(t, { compression: 'zstd' }, { compressors })
    const echo = client.sync('p', 'S', 'Echo')
    for (const size of [0, 1023, 1024, 100_000, 1_000_000]) t.equal(Buffer.compare(await echo.call(text(size)), text(size)), 0, `${size} bytes`)
    t.ok(server.stats().bytesSent < 300_000, `${server.stats().bytesSent} bytes crossed for more than a million`)
  }
})

t.test('a compression the server does not know costs its own call and says so', async (t) => {
  const odd: Compressor = { id: 200, name: 'odd', compress: () => Uint8Array.of(1), decompress: (bytes) => bytes }
  const { client } = await pair(t, {}, { compression: 200, compressionMinBytes: 10, compressors: [odd] })
  const echo = client.sync('p', 'S', 'Echo')
  await echo.call(text(5)) // the first request travels in the Open, uncompressed
  await t.rejects(echo.call(text(2000)), { category: Category.Unimplemented, message: 'unknown compression 200' })
  t.strictSame(await echo.call(text(5)), text(5), 'the session lives on')
})

t.test('corrupt data and a bomb are refused with their codes', async (t) => {
  const corrupt: Compressor = { id: 1, name: 'corrupt', compress: () => Uint8Array.of(1, 2, 3), decompress: (bytes) => bytes }
  const first = await pair(t, {}, { compression: 1, compressors: [corrupt] })
  await first.client.sync('p', 'S', 'Echo').call(text(5))
  await t.rejects(first.client.sync('p', 'S', 'Echo').call(text(2000)), { category: Category.InvalidArgument, message: /gzip/ })
  const bomb = await pair(t, { maxRecvMsgSize: 100_000 }, { compression: 1, compressors: [gzip()] })
  await t.rejects(bomb.client.sync('p', 'S', 'Echo').call(text(3_000_000)), { category: Category.ResourceExhausted, message: /100000/ })
})
