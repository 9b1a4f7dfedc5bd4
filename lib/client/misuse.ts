/** Mistakes that a program makes with the client: TypeErrors with the codes of the server's catalogue. */
import type { ErrorCode } from '../errors.js'

export function misuse (code: ErrorCode, message: string): TypeError & { code: string } {
  return Object.assign(new TypeError(message), { code })
}
