// The OpenTelemetry SDK as a program sets it up, with spans and measurements that a test can read.
import { context, propagation } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { DataPointType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import type { HistogramMetricData } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { SpanKind } from '@opentelemetry/api'

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
propagation.setGlobalPropagator(new W3CTraceContextPropagator())

/** Collects when it is asked. */
class TestReader extends MetricReader {
  protected override async onForceFlush (): Promise<void> {}
  protected override async onShutdown (): Promise<void> {}
}

export class TelemetrySdk {
  readonly #exporter = new InMemorySpanExporter()
  readonly #reader = new TestReader()
  readonly tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(this.#exporter)] })
  readonly meterProvider = new MeterProvider({ readers: [this.#reader] })
  readonly tracer = this.tracerProvider.getTracer('test')

  /** Spans that have ended, in that order. */
  get spans (): ReadableSpan[] { return this.#exporter.getFinishedSpans() }
  get serverSpans (): ReadableSpan[] { return this.spans.filter((span) => span.kind === SpanKind.SERVER) }
  get clientSpans (): ReadableSpan[] { return this.spans.filter((span) => span.kind === SpanKind.CLIENT) }

  /** The one span of its kind, since the last reset. */
  single (kind: 'server' | 'client'): ReadableSpan {
    const spans = kind === 'server' ? this.serverSpans : this.clientSpans
    const [span] = spans
    if (span === undefined || spans.length > 1) throw new Error(`${spans.length} ${kind} spans`)
    return span
  }

  reset (): void { this.#exporter.reset() }

  async histogram (name: string): Promise<HistogramMetricData> {
    const { resourceMetrics } = await this.#reader.collect()
    const metrics = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics)
    const found = metrics.find((metric) => metric.descriptor.name === name)
    if (found?.dataPointType !== DataPointType.HISTOGRAM) throw new Error(`no histogram ${name}`)
    return found
  }
}
