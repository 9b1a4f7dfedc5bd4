/** The part of a pino-like logger that this package uses; Fastify's logger is one. */

export interface LogFunction {
  (fields: object, message?: string): void
  (message: string): void
}

export interface Logger {
  fatal: LogFunction
  error: LogFunction
  warn: LogFunction
  info: LogFunction
  debug: LogFunction
  trace: LogFunction
  /** A logger that adds these fields to every line. */
  child (bindings: Record<string, unknown>): Logger
  /** Whether lines of this level go anywhere; without it they are taken to. */
  isLevelEnabled?: (level: string) => boolean
}
