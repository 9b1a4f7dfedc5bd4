import t from 'tap'
import { compose } from '../../lib/call/interceptor.js'

type Wrap = (call: string, next: (call: string) => Promise<string>) => Promise<string>

t.test('the first is the outermost', async t => {
  const log: string[] = []
  const named = (name: string): Wrap => async (call, next) => {
    log.push(`${name} before`)
    const answer = await next(call + name)
    log.push(`${name} after`)
    return answer + name
  }
  const run = compose<string, string>([named('a'), named('b')], async (call) => {
    log.push('handler')
    return `<${call}>`
  })
  t.equal(await run('x'), '<xab>ba')
  t.same(log, ['a before', 'b before', 'handler', 'b after', 'a after'])
})

t.test('one may refuse, another may rescue', async t => {
  const refuse: Wrap = async () => { throw new Error('no') }
  const rescue: Wrap = async (call, next) => await next(call).catch((error: Error) => error.message)
  t.equal(await compose<string, string>([rescue, refuse], async () => { t.fail('not reached'); return '' })('x'), 'no')
})

t.test('without any it is the innermost itself', async t => {
  t.equal(await compose<string, string>([], async (call) => call)('x'), 'x')
})
