/** A handler's stream as interceptors meet it. */
import type { HandlerContext } from './handler-context.js'
import type { StreamIO } from './stream.js'

/** A handler's stream of any kind, as an interceptor sees it. */
export interface HandlerStream {
  readonly context: HandlerContext
  /** The functions as they are now; call them from those that replace them. */
  readonly io: StreamIO
  /** The same stream with some of its functions replaced. */
  wrap (io: Partial<StreamIO>): HandlerStream
}
