// The same with upstream's own code in Go, where its module can be had: scripts/interop.mjs builds the programs of
// test/interop/upstream and says where they are. Its outcome is told and does not decide about ours.
import t from 'tap'
import { interopTests } from './suite.js'

const programs = process.env['CLAW_UPSTREAM_PROGRAMS']
if (programs === undefined) t.pass('upstream claw', { skip: 'its programs were not built' })
else interopTests(t, { programs, isUpstream: true })
