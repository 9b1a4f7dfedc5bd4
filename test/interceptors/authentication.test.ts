// Example: bearer tokens. An interceptor of each form refuses who has none and tells the handlers who it was.
import t from 'tap'
import type { HandlerContext } from '../../types/handler-context.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import { Category, RpcError } from '../../lib/errors.js'
import { BiDirHandler, SyncHandler } from '../../lib/server/handlers.js'
import { bytes, failureOf, makeEngine, text, texts } from '../helpers/engine.js'
import type { Engine } from '../helpers/engine.js'

// --- the example

interface User { readonly name: string }

const users = new Map<string, User>([['s3cret', { name: 'ada' }]])
const identities = new WeakMap<HandlerContext, User>()

function authenticate (context: HandlerContext): void {
  const [scheme, token = ''] = (context.metadata.get('authorization') ?? '').split(' ')
  const user = scheme?.toLowerCase() === 'bearer' ? users.get(token) : undefined
  if (user === undefined) throw new RpcError(Category.Unauthenticated, 'a valid bearer token is needed')
  identities.set(context, user)
}

/** For handlers: who calls. */
function userOf (context: HandlerContext): User {
  const user = identities.get(context)
  if (user === undefined) throw new RpcError(Category.Unauthenticated, 'nobody has asked who calls')
  return user
}

const authenticateUnary: UnaryServerInterceptor = async (call, next) => {
  authenticate(call.context)
  return await next(call)
}

const authenticateStream: StreamServerInterceptor = async (call, next) => {
  authenticate(call.context)
  return await next(call)
}

// --- what it does

function guarded (t: Parameters<typeof makeEngine>[0]): Engine & { ran: string[] } {
  const ran: string[] = []
  const engine = makeEngine(t, { server: { unaryInterceptors: [authenticateUnary], streamInterceptors: [authenticateStream] } })
  engine.server.register('p', 'S', 'Who', new SyncHandler(async (context) => {
    ran.push('Who')
    return bytes(userOf(context).name)
  }))
  engine.server.register('p', 'S', 'Greet', new BiDirHandler(async (context, stream) => {
    ran.push('Greet')
    for await (const greeting of stream.recv()) await stream.send(bytes(`${text(greeting)}, ${userOf(context).name}`))
  }))
  return { ...engine, ran }
}

const wrong: (Record<string, string> | undefined)[] = [undefined, { authorization: 'Bearer guessed' }, { authorization: 'Basic s3cret' }, { authorization: 'Bearer' }]

t.test('who has no valid token is Unauthenticated and reaches no handler', async (t) => {
  const { client, ran } = guarded(t)
  for (const metadata of wrong) {
    const options = metadata === undefined ? {} : { metadata }
    const unary = await failureOf(client.sync('p', 'S', 'Who').call(bytes(''), options))
    t.match(unary, { category: Category.Unauthenticated, code: 'CLAW_ERR_UNAUTHENTICATED' })
    const stream = await failureOf(texts(client.biDir('p', 'S', 'Greet', options).recv()))
    t.match(stream, { category: Category.Unauthenticated, message: 'a valid bearer token is needed' })
  }
  t.strictSame(ran, [])
})

t.test('with a token the handler knows who calls', async (t) => {
  const { client } = guarded(t)
  const metadata = { Authorization: 'Bearer s3cret' }
  t.equal(text(await client.sync('p', 'S', 'Who').call(bytes(''), { metadata })), 'ada')
  const greet = client.biDir('p', 'S', 'Greet', { metadata })
  await greet.send(bytes('hello'))
  greet.closeSend()
  t.strictSame(await texts(greet.recv()), ['hello, ada'])
})

t.test('each request of one session says for itself who calls', async (t) => {
  const { client } = guarded(t)
  const who = client.sync('p', 'S', 'Who')
  const [known, unknown] = await Promise.all([
    who.call(bytes(''), { metadata: { authorization: 'Bearer s3cret' } }),
    failureOf(who.call(bytes('')))
  ])
  t.equal(text(known), 'ada')
  t.equal(unknown.category, Category.Unauthenticated)
})
