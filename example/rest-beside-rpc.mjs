// @ts-check
/** The smallest useful server: one REST route and one RPC that share their code. `node example/rest-beside-rpc.mjs` */
import Fastify from 'fastify'
import rpc, { Category, RpcError, SyncHandler } from 'fastify-claw'

const stock = new Map([['apples', 12], ['pears', 7]])

const app = Fastify({ logger: { level: 'warn' } })
await app.register(rpc, { path: '/rpc' })

app.get('/stock/:fruit', async (request, reply) => {
  const { fruit } = /** @type {{ fruit: string }} */ (request.params)
  const count = stock.get(fruit)
  return count === undefined ? reply.code(404).send({ error: `no ${fruit} here` }) : { count }
})

app.rpc.register('shop', 'Stock', 'Count', new SyncHandler((_context, request) => {
  const fruit = new TextDecoder().decode(request)
  const count = stock.get(fruit)
  if (count === undefined) throw new RpcError(Category.NotFound, `no ${fruit} here`)
  return new TextEncoder().encode(String(count))
}))

// Takes no new calls, lets those that run finish, then ends.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())

console.log('listening on', await app.listen({ port: Number(process.env.PORT ?? 3000) }))
