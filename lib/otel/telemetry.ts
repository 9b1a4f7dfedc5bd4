/**
 * One side's tracer and histogram, and the span of one call from its begin to its end. The same for both
 * sides; knows nothing of metadata. Runs in browsers too.
 */
import { SpanKind, SpanStatusCode, metrics, trace } from '@opentelemetry/api'
import type { Attributes, Context, Histogram, MeterProvider, Span, Tracer, TracerProvider } from '@opentelemetry/api'
import { Category, RpcError, categoryName } from '../errors.js'
import { Attribute, DURATION_BUCKETS, DurationMetric, SCHEMA_URL, SYSTEM_NAME, isErrorOutcome, methodName } from './conventions.js'

const SCOPE = 'fastify-claw'

/** Options of `otelServer` and `otelClient`. */
export interface OtelOptions {
  /** Where spans go; the global provider when absent. */
  tracerProvider?: TracerProvider
  /** Where durations go; the global provider when absent. */
  meterProvider?: MeterProvider
  /** The server's name as its clients know it (`rpc.example.org`), for spans and, in a client, for measurements. */
  serverAddress?: string
  /** The server's port as its clients know it. */
  serverPort?: number
}

/** Names of an RPC. */
interface RpcNames {
  readonly package: string
  readonly service: string
  readonly call: string
}

export class Telemetry {
  readonly #role: 'server' | 'client'
  readonly #options: OtelOptions
  readonly #tracer: Tracer
  #histogram: Histogram | undefined

  constructor (role: 'server' | 'client', options: OtelOptions) {
    this.#role = role
    this.#options = options
    this.#tracer = (options.tracerProvider ?? trace).getTracer(SCOPE, undefined, { schemaUrl: SCHEMA_URL })
  }

  /** Begins the span of a call. @param extra attributes of the span that only one side knows. */
  begin (rpc: RpcNames, parent: Context, extra: Attributes = {}): CallSpan {
    const { serverAddress, serverPort } = this.#options
    const method = methodName(rpc)
    const own: Attributes = { [Attribute.SYSTEM_NAME]: SYSTEM_NAME, [Attribute.METHOD]: method }
    const server: Attributes = {
      ...(serverAddress === undefined ? {} : { [Attribute.SERVER_ADDRESS]: serverAddress }),
      ...(serverPort === undefined ? {} : { [Attribute.SERVER_PORT]: serverPort })
    }
    const kind = this.#role === 'server' ? SpanKind.SERVER : SpanKind.CLIENT
    const span = this.#tracer.startSpan(method, { kind, attributes: { ...own, ...server, ...extra } }, parent)
    // A server is only ever one address to itself: beside its measurements it would say nothing.
    const measured = this.#role === 'server' ? own : { ...own, ...server }
    return new CallSpan(this.#role, span, trace.setSpan(parent, span), measured, this.#duration())
  }

  /** Made at the first call: a meter that was got before the program has set its provider would stay deaf. */
  #duration (): Histogram {
    this.#histogram ??= (this.#options.meterProvider ?? metrics)
      .getMeter(SCOPE, undefined, { schemaUrl: SCHEMA_URL })
      .createHistogram(DurationMetric[this.#role], {
        unit: 's',
        description: `Measures the duration of ${this.#role === 'server' ? 'an incoming' : 'an outgoing'} Remote Procedure Call (RPC).`,
        advice: { explicitBucketBoundaries: [...DURATION_BUCKETS] }
      })
    return this.#histogram
  }
}

/** The span of one call. */
export class CallSpan {
  /** What runs inside the span. */
  readonly context: Context
  readonly #role: 'server' | 'client'
  readonly #span: Span
  readonly #attributes: Attributes
  readonly #duration: Histogram
  readonly #startedAt = performance.now()
  #isEnded = false

  constructor (role: 'server' | 'client', span: Span, context: Context, attributes: Attributes, duration: Histogram) {
    this.#role = role
    this.#span = span
    this.context = context
    this.#attributes = attributes
    this.#duration = duration
  }

  /** The call went well. The first end counts. */
  succeed (): void { this.#end({ [Attribute.STATUS_CODE]: categoryName(Category.OK) }) }

  /** The call failed, with whatever was thrown. The first end counts. */
  fail (thrown: unknown): void {
    if (this.#isEnded) return
    const outcome: Attributes = {}
    let isError = true
    let type = nameOf(thrown)
    // What a foreign error is for the peer: a server answers Internal, a client has nothing from anybody.
    if (RpcError.is(thrown) || this.#role === 'server') {
      const { category } = RpcError.from(thrown)
      isError = isErrorOutcome(this.#role, category)
      outcome[Attribute.STATUS_CODE] = type = categoryName(category)
    }
    if (isError) {
      outcome[Attribute.ERROR_TYPE] = type
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: thrown instanceof Error ? thrown.message : String(thrown) })
    }
    this.#end(outcome)
  }

  #end (outcome: Attributes): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#span.setAttributes(outcome)
    this.#duration.record((performance.now() - this.#startedAt) / 1000, { ...this.#attributes, ...outcome }, this.context)
    this.#span.end()
  }
}

/** `_OTHER` is what the conventions have for an error without a type. */
function nameOf (thrown: unknown): string { return thrown instanceof Error ? thrown.name : '_OTHER' }
