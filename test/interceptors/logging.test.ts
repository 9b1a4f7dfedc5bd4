// Example: one line for each call, with how long it took. (The server has such a line of its own; see logCalls.)
import t from 'tap'
import type { Clock } from '../../types/clock.js'
import type { HandlerContext } from '../../types/handler-context.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import { Category, RpcError, categoryName } from '../../lib/errors.js'
import { BiDirHandler, SyncHandler } from '../../lib/server/handlers.js'
import { bytes, failureOf, makeEngine, texts } from '../helpers/engine.js'
import { FakeClock } from '../helpers/fake-clock.js'

// --- the example

function logging (clock: Pick<Clock, 'now'>): { unary: UnaryServerInterceptor, stream: StreamServerInterceptor } {
  const timed = async <T> (context: HandlerContext, run: () => Promise<T>): Promise<T> => {
    const startedAt = clock.now()
    let category: string = 'OK'
    try {
      return await run()
    } catch (error) {
      category = categoryName(RpcError.from(error).category)
      throw error
    } finally {
      // The child logger adds package, service, call and session.
      context.log.info({ category, ms: clock.now() - startedAt }, 'call')
    }
  }
  return {
    unary: (call, next) => timed(call.context, () => next(call)),
    stream: (call, next) => timed(call.context, () => next(call))
  }
}

// --- what it does

t.test('a line for each call, with its names, its outcome and its duration', async (t) => {
  const clock = new FakeClock()
  const { unary, stream } = logging(clock)
  const { client, server, log } = makeEngine(t, { server: { logCalls: false, unaryInterceptors: [unary], streamInterceptors: [stream] } })
  server.register('p', 'S', 'Slow', new SyncHandler(async (_context, request) => {
    clock.advance(25)
    return request
  }))
  server.register('p', 'S', 'Fail', new SyncHandler(async () => { throw new RpcError(Category.NotFound, 'no') }))
  server.register('p', 'S', 'Break', new SyncHandler(async () => { throw new Error('internals') }))
  server.register('p', 'S', 'Chat', new BiDirHandler(async (_context, stream) => {
    for await (const message of stream.recv()) {
      clock.advance(10)
      await stream.send(message)
    }
  }))

  await client.sync('p', 'S', 'Slow').call(bytes('x'))
  await failureOf(client.sync('p', 'S', 'Fail').call(bytes('x')))
  await failureOf(client.sync('p', 'S', 'Break').call(bytes('x')))
  const chat = client.biDir('p', 'S', 'Chat')
  await chat.send(bytes('a'))
  await chat.send(bytes('b'))
  chat.closeSend()
  t.strictSame(await texts(chat.recv()), ['a', 'b'])

  const names = { package: 'p', service: 'S' }
  t.match(log.filter(({ msg }) => msg === 'call'), [
    { level: 'info', ...names, call: 'Slow', session: 1, category: 'OK', ms: 25 },
    { level: 'info', ...names, call: 'Fail', session: 2, category: 'NotFound', ms: 0 },
    { level: 'info', ...names, call: 'Break', session: 3, category: 'Internal', ms: 0 },
    { level: 'info', ...names, call: 'Chat', session: 4, category: 'OK', ms: 20 }
  ])
})
