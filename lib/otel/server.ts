/**
 * OpenTelemetry for a server: two interceptors that make a span and a measurement of each call, inside the
 * caller's trace. Knows the conventions through Telemetry and the engine through what interceptors are given.
 */
import { ROOT_CONTEXT, TraceFlags, context as active, isSpanContextValid, propagation, trace } from '@opentelemetry/api'
import type { Context } from '@opentelemetry/api'
import type { HandlerContext } from '../../types/handler-context.js'
import type { StreamServerInterceptor, UnaryServerInterceptor } from '../../types/interceptor.js'
import { metadataGetter } from './carrier.js'
import { Attribute } from './conventions.js'
import { Telemetry } from './telemetry.js'
import type { CallSpan, OtelOptions } from './telemetry.js'

const TRACE_ID_BYTES = 16
const SPAN_ID_BYTES = 8

/** The interceptors of {@link otelServer}. */
export interface OtelServer {
  /** For `unaryInterceptors`, as the first: what others refuse is then seen too. */
  readonly unaryInterceptor: UnaryServerInterceptor
  /** For `streamInterceptors`, likewise. One span for the whole stream. */
  readonly streamInterceptor: StreamServerInterceptor
}

/**
 * Makes a SERVER span and a measurement of `rpc.server.call.duration` of each call that reaches the
 * interceptors (an Open that is refused, and a call that waits in vain for its turn, does not). The handler
 * runs inside the span. The parent is what the propagator finds in the metadata, otherwise the trace that the
 * Open names.
 */
export function otelServer (options: OtelOptions = {}): OtelServer {
  const telemetry = new Telemetry('server', options)

  const observe = async <T> (context: HandlerContext, run: () => Promise<T>): Promise<T> => {
    const { remoteAddress, signal } = context
    const span = telemetry.begin(context, parentOf(context), remoteAddress === undefined ? {} : { [Attribute.CLIENT_ADDRESS]: remoteAddress })
    // Then the peer has its answer, or is gone, whatever the handler still does.
    const onAbort = (): void => { span.fail(signal.reason) }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      if (signal.aborted) onAbort()
      return await inside(span, run)
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  return {
    unaryInterceptor: (call, next) => observe(call.context, () => next(call)),
    streamInterceptor: (call, next) => observe(call.context, () => next(call))
  }
}

async function inside<T> (span: CallSpan, run: () => Promise<T>): Promise<T> {
  try {
    const result = await active.with(span.context, run)
    span.succeed()
    return result
  } catch (error) {
    span.fail(error)
    throw error
  }
}

/** Never the context of the moment: a call is read from the socket in whatever context some other call has left. */
function parentOf ({ metadata, traceID, spanID }: HandlerContext): Context {
  const found = propagation.extract(ROOT_CONTEXT, metadata, metadataGetter)
  if (trace.getSpanContext(found) !== undefined || traceID.byteLength !== TRACE_ID_BYTES || spanID.byteLength !== SPAN_ID_BYTES) return found
  // The Open has no place for flags; who names a trace is taken to record it.
  const parent = { traceId: hex(traceID), spanId: hex(spanID), traceFlags: TraceFlags.SAMPLED, isRemote: true }
  return isSpanContextValid(parent) ? trace.setSpanContext(found, parent) : found
}

function hex (bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
