// Two implementations on one wire: a peer in Go, written from the specification (test/interop/peer), and this one.
// Run by `npm run test:interop`.
import t from 'tap'
import { build, peerDir, run } from './go.js'
import { interopTests } from './suite.js'

const programs = await build(t, peerDir)

t.test('the Go peer itself: its codec against the vectors, vet, format', async (t) => {
  for (const [command, ...args] of [['go', 'test', './...'], ['go', 'vet', './...'], ['gofmt', '-l', '.']] as [string, ...string[]][]) {
    const { code, output } = await run(command, args, peerDir)
    const isClean = code === 0 && (command !== 'gofmt' || output === '')
    t.ok(isClean, isClean ? `${command} ${args.join(' ')}` : output)
  }
})

interopTests(t, { programs, isUpstream: false })
