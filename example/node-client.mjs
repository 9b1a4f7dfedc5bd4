// @ts-check
/** All four kinds from Node: `node example/node-client.mjs ws://127.0.0.1:3000/rpc` while `npm start` runs. */
import { WebSocket } from 'ws'
import { RpcError, categoryName, connect } from 'fastify-claw/client'

const client = await connect(process.argv[2] ?? 'ws://127.0.0.1:3000/rpc', { WebSocket })
const encode = (/** @type {string} */ text) => new TextEncoder().encode(text)
const decode = (/** @type {Uint8Array} */ bytes) => new TextDecoder().decode(bytes)

// One request, one answer.
console.log('Unary:', decode(await client.sync('example', 'Echo', 'Unary').call(encode('hello'))))

// The client streams, the server answers once.
const upload = client.send('example', 'Echo', 'Collect')
for (const text of ['one', 'two', 'three']) await upload.send(encode(text))
console.log('Collect:', decode(await upload.close()), '| trailer count', upload.trailer.get('count'))

// The server streams; iterate over it.
const download = client.recv('example', 'Echo', 'Repeat', { metadata: { count: '3', size: '4' } })
for await (const bytes of download) console.log('Repeat:', ...bytes)

// Both stream, each at its own pace.
const chat = client.biDir('example', 'Echo', 'BiDi')
await chat.send(encode('over'))
await chat.send(encode('out'))
chat.closeSend()
for await (const bytes of chat.recv()) console.log('BiDi:', decode(bytes))

// What fails, fails with a category and a text.
try {
  await client.sync('example', 'Echo', 'Fail').call(encode(''), { metadata: { category: '5', message: 'no such row' } })
} catch (error) {
  if (RpcError.is(error)) console.log('Fail:', categoryName(error.category), '-', error.message)
}

// A deadline holds on both sides; so does an AbortSignal.
await client.sync('example', 'Echo', 'Sleep').call(encode('60000'), { timeoutMs: 50 })
  .catch((error) => console.log('Sleep:', categoryName(error.category)))

await client.close()
