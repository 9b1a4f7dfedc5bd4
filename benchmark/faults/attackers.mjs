/** The process of the attackers: runs one attack for each command. It yields to everybody else who wants its core. */
import { constants, setPriority } from 'node:os'
import { performance } from 'node:perf_hooks'
import { work } from '../system/worker.mjs'
import { Attack } from './attack.mjs'
import { RUNS } from './attacks.mjs'

// Otherwise the healthy would wait for the attackers' processor, which is not what is measured.
setPriority(constants.priority.PRIORITY_LOW)

work({
  async attack ({ name, port, ms, width }) {
    const startedAt = performance.now()
    const attack = new Attack({ port, ms, width })
    await RUNS[name](attack)
    const seconds = (performance.now() - startedAt) / 1000
    await attack.end()
    const { done, answers, connections } = attack
    return { done, rate: done / seconds, answers, connections }
  }
}, { asksForUnhandled: true })
