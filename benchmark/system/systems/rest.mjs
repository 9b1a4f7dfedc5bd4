/** REST: Fastify's POST with octets in and out, undici on the client. */
import Fastify from 'fastify'
import { Pool } from 'undici'

export const packages = ['fastify', 'undici']
export const notes = 'HTTP/1.1, up to 64 connections (not one), no pipelining; no streams'

const KEEP_ALIVE_MS = 600_000
const headers = { 'content-type': 'application/octet-stream' }

export async function startServer () {
  const app = Fastify({ logger: false, bodyLimit: 64 << 20, keepAliveTimeout: KEEP_ALIVE_MS, forceCloseConnections: true })
  app.addContentTypeParser(headers['content-type'], { parseAs: 'buffer' }, (_request, body, done) => { done(null, body) })
  app.post('/echo', (request, reply) => { reply.headers(headers).send(request.body) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { port: app.server.address().port, close: () => app.close() }
}

export async function connect (port, { isOne = false } = {}) {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: isOne ? 1 : 64, pipelining: 1, keepAliveTimeout: KEEP_ALIVE_MS, keepAliveMaxTimeout: KEEP_ALIVE_MS })
  return {
    async unary (body) {
      const response = await pool.request({ path: '/echo', method: 'POST', headers, body })
      if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
      return new Uint8Array(await response.body.arrayBuffer())
    },
    close: () => pool.destroy()
  }
}
