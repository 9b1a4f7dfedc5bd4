// @ts-check
/** `npm start`: the example on http://127.0.0.1:3000. PORT and HOST change that (PORT=0: any free port). */
import { buildApp } from './app.mjs'

const { PORT = '3000', HOST = '127.0.0.1', LOG_LEVEL = 'warn' } = process.env

const app = await buildApp({ logger: { level: LOG_LEVEL } })

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    // Takes no new calls, lets those that run finish, tells every client. A second signal ends the process as ever.
    app.close().catch((error) => {
      app.log.error(error)
      process.exitCode = 1
    })
  })
}

try {
  const address = await app.listen({ port: Number(PORT), host: HOST })
  console.log(`fastify-claw example: ${address}  (RPC at ${address.replace(/^http/, 'ws')}/rpc)`)
} catch (error) {
  console.error(`cannot listen on ${HOST}:${PORT}: ${error instanceof Error ? error.message : error}`)
  await app.close()
  process.exitCode = 1
}
