/** Metadata as the propagation API sees them: how a trace crosses the wire, as `traceparent` and `tracestate` do. */
import type { TextMapGetter, TextMapSetter } from '@opentelemetry/api'
import type { Metadata } from '../metadata.js'

/** Reads a carrier. */
export const metadataGetter: TextMapGetter<Metadata> = {
  keys: (metadata) => Object.keys(metadata.toObject()),
  get: (metadata, key) => metadata.get(key)
}

/** Writes a carrier. */
export const metadataSetter: TextMapSetter<Metadata> = {
  set (metadata, key, value) { metadata.set(key, value) }
}
