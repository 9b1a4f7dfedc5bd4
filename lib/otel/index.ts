/** OpenTelemetry for servers and clients; needs the package @opentelemetry/api. Re-exports only. */
export { otelServer } from './server.js'
export type { OtelServer } from './server.js'
export { otelClient } from './client.js'
export type { OtelClient } from './client.js'
export type { OtelOptions } from './telemetry.js'
