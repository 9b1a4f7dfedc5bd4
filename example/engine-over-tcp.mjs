// @ts-check
/** The engine without Fastify and without WebSockets: server and client on the two ends of a TCP connection. */
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import { Server, duplexTransport } from 'fastify-claw'
import { connect } from 'fastify-claw/client'
import { registerEcho } from './echo.mjs'

const server = new Server({ maxConcurrentRPCs: 100 })
registerEcho(server)

const listener = createServer((socket) => {
  server.serve(duplexTransport(socket)).catch((error) => console.error('connection failed:', error.message))
})
listener.listen(0, '127.0.0.1')
await once(listener, 'listening')

const { port } = /** @type {import('node:net').AddressInfo} */ (listener.address())
const client = await connect(duplexTransport(connectTcp(port, '127.0.0.1')))

const answer = await client.sync('example', 'Echo', 'Unary').call(new TextEncoder().encode('over TCP'))
console.log('Unary:', new TextDecoder().decode(answer))

let total = 0
for await (const bytes of client.recv('example', 'Echo', 'Repeat', { metadata: { count: '1000', size: '1000' } })) total += bytes.byteLength
console.log('Repeat:', total, 'bytes')

// Tells the client to go, waits for what runs (at most a second), closes the connections.
listener.close()
console.log('everything finished:', await server.shutdown({ signal: AbortSignal.timeout(1000) }))
