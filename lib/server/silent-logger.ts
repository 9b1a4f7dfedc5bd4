/** The logger of an engine that was given none, and whether a logger has use for a line at all. */
import type { Logger } from '../../types/logger.js'

const noop = (): void => {}

export const silentLogger: Logger = {
  fatal: noop,
  error: noop,
  warn: noop,
  info: noop,
  debug: noop,
  trace: noop,
  child: () => silentLogger
}

/** The logger to use for one that was given: Fastify's own without `logger`, whose functions are all one `noop`, is ours. */
export function recognized (log: Logger): Logger {
  return log.info === log.fatal && log.info.name === 'noop' ? silentLogger : log
}

/** Whether a line at level info goes anywhere: making one costs as much as a whole small call. */
export function logsInfo (log: Logger): boolean {
  return log !== silentLogger && (log.isLevelEnabled?.('info') ?? true)
}
