/**
 * OpenTelemetry for a client, in Node and in browsers: two interceptors that make a span and a measurement
 * of each call and send the trace along. Nothing here reaches `node:`.
 */
import { context as active, propagation } from '@opentelemetry/api'
import type { CallOptions, RpcName, StreamClientInterceptor, UnaryClientInterceptor } from '../../types/client-options.js'
import { Metadata } from '../metadata.js'
import { metadataSetter } from './carrier.js'
import { Telemetry } from './telemetry.js'
import type { OtelOptions } from './telemetry.js'

/** The interceptors of {@link otelClient}. */
export interface OtelClient {
  /** For `unaryInterceptors`: the first sees a call with all its retries as one, the last each of them. */
  readonly unaryInterceptor: UnaryClientInterceptor
  /** For `streamInterceptors`. One span for the whole stream. */
  readonly streamInterceptor: StreamClientInterceptor
}

/**
 * Makes a CLIENT span and a measurement of `rpc.client.call.duration` of each call. Its trace travels in the
 * metadata, as the global propagator writes it (`traceparent`): with each request of its own.
 */
export function otelClient (options: OtelOptions = {}): OtelClient {
  const telemetry = new Telemetry('client', options)

  const observe = async <Call extends RpcName & { readonly options: CallOptions }, T> (call: Call, next: (call: Call) => Promise<T>): Promise<T> => {
    const span = telemetry.begin(call, active.active())
    try {
      // The caller's own metadata are not touched.
      const metadata = new Metadata(call.options.metadata)
      propagation.inject(span.context, metadata, metadataSetter)
      const result = await active.with(span.context, () => next({ ...call, options: { ...call.options, metadata } }))
      span.succeed()
      return result
    } catch (error) {
      span.fail(error)
      throw error
    }
  }

  return {
    unaryInterceptor: (call, next) => observe(call, next),
    streamInterceptor: (call, next) => observe(call, next)
  }
}
