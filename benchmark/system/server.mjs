/** The process of a server. */
import { message, production } from './messages.mjs'
import { loadSystem, systemOptions, work } from './worker.mjs'

work({
  async listen () {
    const { startServer } = await loadSystem()
    const { port } = await startServer(systemOptions)
    return port
  },
  /** From now on each message that a stream produces has memory of its own; production is counted from zero. */
  produceFresh ({ size }) {
    message(0, size)
    production.isFresh = true
    production.bytes = 0
    return true
  },
  produced: () => production.bytes
})
