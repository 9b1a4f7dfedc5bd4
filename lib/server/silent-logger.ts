/** The logger of an engine that was given none. */
import type { Logger } from '../../types/logger.js'

const silent = (): void => {}

export const silentLogger: Logger = {
  fatal: silent,
  error: silent,
  warn: silent,
  info: silent,
  debug: silent,
  trace: silent,
  child: () => silentLogger
}
