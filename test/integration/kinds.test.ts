import t from 'tap'
import { Server } from '../../lib/server/server.js'
import { SyncHandler, BiDirHandler, SendHandler, RecvHandler } from '../../lib/server/handlers.js'
import { memoryPair } from '../../lib/transport/memory.js'
import { connect } from '../../lib/client/connect.js'
import { RpcError, Category } from '../../lib/errors.js'

const text = (s: string): Uint8Array => new TextEncoder().encode(s)
const str = (b: Uint8Array): string => new TextDecoder().decode(b)

for (const minorVersion of [1, 0] as const) {
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  t.test(`minor ${minorVersion}`, async (t) => {
    const server = new Server({ minorVersion })
    server.register('p', 'S', 'Echo', new SyncHandler(async (_ctx, request) => request))
    server.register('p', 'S', 'Fail', new SyncHandler(async () => { throw new RpcError(Category.NotFound, 'no such row') }))
    server.register('p', 'S', 'Chat', new BiDirHandler(async (_ctx, stream) => { let n = 0; for await (const b of stream.recv()) { n++; await stream.send(b) } stream.setTrailer({ n: String(n) }) }))
    server.register('p', 'S', 'Up', new SendHandler(async (_ctx, stream) => { let n = 0; for await (const b of stream.recv()) n += b.byteLength; return text(String(n)) }))
    server.register('p', 'S', 'Down', new RecvHandler(async (ctx, stream) => { const n = Number(ctx.metadata.get('n')); const r = await stream.request(); for (let i = 0; i < n; i++) await stream.send(r.byteLength > 0 ? r : text(String(i))) }))
    const [a, b] = memoryPair()
    const serving = server.serve(a)
    const client = await connect(b)
    t.equal(str(await client.sync('p', 'S', 'Echo').call(text('hello'))), 'hello')
    t.equal(client.minor, minorVersion)
    const many = await Promise.all(Array.from({ length: 100 }, (_, i) => client.sync('p', 'S', 'Echo').call(text(`m${i}`), i % 2 ? { metadata: { a: 'b' }, timeoutMs: 5000 } : undefined)))
    t.same(many.map(str), Array.from({ length: 100 }, (_, i) => `m${i}`))
    await t.rejects(client.sync('p', 'S', 'Fail').call(text('x')), { category: Category.NotFound, message: 'no such row' })
    await t.rejects(client.sync('p', 'S', 'Nope').call(text('x')), { category: Category.Unimplemented, message: 'no handler registered' })
    const chat = client.biDir('p', 'S', 'Chat')
    await chat.send(text('one'))
    await chat.send(new Uint8Array(1_000_000).fill(7))
    chat.closeSend()
    const got: number[] = []
    for await (const m of chat.recv()) got.push(m.byteLength)
    t.same(got, [3, 1_000_000])
    t.equal(chat.trailer.get('n'), '2')
    const up = client.send('p', 'S', 'Up')
    for (let i = 0; i < 1000; i++) await up.send(new Uint8Array(1000))
    t.equal(str(await up.close()), '1000000')
    const down: string[] = []
    for await (const m of client.recv('p', 'S', 'Down', { metadata: { n: '5000' } })) down.push(str(m))
    t.equal(down.length, 5000)
    t.equal(down[4999], '4999')
    if (minorVersion === 1) for await (const m of client.recv('p', 'S', 'Down', { metadata: { n: '1' }, request: text('hey') })) t.equal(str(m), 'hey')
    const ab = AbortSignal.timeout(5000)
    t.equal(await server.shutdown({ signal: ab }), true)
    await client.close()
    await serving
  })
}
