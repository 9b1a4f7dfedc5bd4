// No line is made where nobody reads it, and none is lost where somebody might.
import Fastify from 'fastify'
import t from 'tap'
import { logsInfo, recognized, silentLogger } from '../../lib/server/silent-logger.js'
import type { Logger } from '../../types/logger.js'

t.test('Fastify without a logger is silent', async t => {
  const app = Fastify()
  t.equal(recognized(app.log), silentLogger)
  t.notOk(logsInfo(recognized(app.log)))
})

t.test('pino is asked, each time', async t => {
  const app = Fastify({ logger: { level: 'warn' } })
  const log = recognized(app.log)
  t.equal(log, app.log)
  t.notOk(logsInfo(log))
  app.log.level = 'info'
  t.ok(logsInfo(log))
})

t.test('a logger that cannot tell is written to, even one with a function for all levels', async t => {
  const lines: unknown[] = []
  const write = (...line: unknown[]): void => { lines.push(line) }
  const log: Logger = { fatal: write, error: write, warn: write, info: write, debug: write, trace: write, child: () => log }
  t.equal(recognized(log), log)
  t.ok(logsInfo(log))
})
