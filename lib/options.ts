/**
 * The one table of options: name, default, bounds, unit and a line for the docs. Defaults, validation and
 * docs/options.md all come from here. Knows nothing of what the options do.
 */
import type { RpcPluginOptions, ServerOptions } from '../types/options.js'

/** One row of the table. */
export type OptionSpec = { readonly doc: string, readonly unit?: string } & (
  | { readonly kind: 'integer', readonly default: number, readonly min: number, readonly max: number }
  | { readonly kind: 'boolean', readonly default: boolean }
  | { readonly kind: 'string', readonly default: string, readonly pattern: RegExp }
  | { readonly kind: 'choice', readonly default: string | number, readonly choices: readonly (string | number)[] }
  | { readonly kind: 'list', readonly default: readonly never[], readonly of: 'function' | 'object' }
  | { readonly kind: 'guard', readonly default: boolean }
  | { readonly kind: 'origins', readonly default: readonly string[] }
)

type Table<Options> = { readonly [Name in keyof Required<Options>]: OptionSpec }

const MIB = 1024 * 1024
/** Longest time a timer of the platform can be set for. */
const MAX_MS = 0x7fffffff

const bytes = (value: number, min: number, doc: string, max = 0x7fffffff): OptionSpec => ({ kind: 'integer', default: value, min, max, unit: 'bytes', doc })
const ms = (value: number, min: number, doc: string): OptionSpec => ({ kind: 'integer', default: value, min, max: MAX_MS, unit: 'ms', doc })
const count = (value: number, min: number, doc: string): OptionSpec => ({ kind: 'integer', default: value, min, max: 0x7fffffff, doc })

/** Options of the engine. */
export const SERVER_OPTIONS: Table<ServerOptions> = {
  compression: { kind: 'choice', default: 'none', choices: ['none', 'gzip', 'snappy', 'zstd'], doc: 'Compression of what the server sends, kept where it makes a payload smaller. Incoming payloads may use any registered format.' },
  compressionMinBytes: bytes(1024, 0, 'Payloads below this size are not compressed.'),
  compressors: { kind: 'list', of: 'object', default: [], doc: 'Further compression formats, or replacements of the built-in ones.' },
  maxConcurrentRPCs: count(0, 0, 'Handlers that may run at a time in this server; 0 for no limit. Further calls wait in order and obey their deadlines.'),
  maxQueuedRPCs: count(10_000, 0, 'Calls that may wait for a place; the next is refused with ResourceExhausted.'),
  maxConnections: count(0, 0, 'Connections at a time; 0 for no limit. The next is refused with HTTP status 503.'),
  maxSessionsPerConnection: count(256, 0, 'Sessions at a time on one connection; 0 for no limit. The next is refused with ResourceExhausted.'),
  maxRequestsPerConnection: count(1024, 1, 'Synchronous requests of one connection that may run at a time; more wait, and hold their sender up.'),
  maxRecvMsgSize: bytes(4 * MIB, 1, 'Largest message accepted, decompressed.'),
  maxSendMsgSize: bytes(4 * MIB, 1, 'Largest message sent; a larger one fails its send.'),
  maxMetadataBytes: bytes(64 * 1024, 0, 'Most metadata of an Open: keys, values and 24 bytes for each entry.', 16 * MIB),
  packing: { kind: 'boolean', default: false, doc: 'Whether packing (zero bytes left out) is granted to clients that ask for it.' },
  unaryInterceptors: { kind: 'list', of: 'function', default: [], doc: 'Interceptors of synchronous RPCs, outermost first.' },
  streamInterceptors: { kind: 'list', of: 'function', default: [], doc: 'Interceptors of streams, outermost first.' },
  windowBytes: bytes(256 * 1024, 128 * 1024, 'Credit granted to the peer on each session: what it may send before the handler takes it.'),
  maxWindowBytes: bytes(4 * MIB, 0, 'What that credit may grow to while the handler keeps up with what comes, so that fast streams are not held up by the window. At most four times this stands granted beyond the windows on one connection. A value below `windowBytes` switches growing off.'),
  sendBufferBytes: bytes(4 * MIB, 0, 'What one session may hold unsent; a further send that nobody awaited the way for fails with ResourceExhausted. One message is always taken.'),
  recvBufferBytes: bytes(4 * MIB, 64 * 1024, 'What one connection of a 1.0 peer may hold unread before its transport is paused.'),
  reassemblyPlaces: count(8, 2, 'Messages larger than their window that one connection may put together at a time; one of them is for calls whose handler runs.'),
  maxDeadlineMs: ms(0, 0, 'Longest time a call may take, whatever the client asks for; 0 for no cap.'),
  handshakeTimeoutMs: ms(10_000, 0, 'A connection that neither opens a session nor pings in this time is closed; 0 never. Clients of this package ping a second after they connected when they have nothing to call yet.'),
  idleTimeoutMs: ms(0, 0, 'A connection on which nothing has run for this long is closed; 0 never.'),
  keepAliveIntervalMs: ms(30_000, 0, 'A peer that is silent for this long is asked for a sign of life; 0 never.'),
  keepAliveTimeoutMs: ms(10_000, 1, 'How long that sign of life may take before the connection is given up.'),
  stallTimeoutMs: ms(60_000, 1, 'A peer that takes nothing for this long loses the session (no credit) or the connection (transport full).'),
  messageTimeoutMs: ms(30_000, 1, 'The next chunk of an unfinished message must come in this time.'),
  logCalls: { kind: 'boolean', default: true, doc: 'Whether each completed call is logged, at level info like Fastify\'s requests. The plugin turns it off where Fastify\'s `disableRequestLogging` is on.' },
  minorVersion: { kind: 'choice', default: 1, choices: [0, 1], doc: 'Highest minor version of the protocol spoken; 0 makes it a 1.0 server.' }
}

/** What the plugin adds. */
export const PLUGIN_OPTIONS: Table<Omit<RpcPluginOptions, keyof ServerOptions>> = {
  path: { kind: 'string', default: '/rpc', pattern: /^\//, doc: 'URL of the WebSocket route, below the prefix of the scope it is registered in.' },
  shutdownTimeoutMs: ms(5000, 0, 'How long `app.close()` may take for RPCs. Those that still run a tenth of it (50 to 500 ms) before are ended, so that every client can still be told. Kept below Fastify\'s `pluginTimeout`, which would make `close()` reject.'),
  allowedOrigins: { kind: 'origins', default: [], doc: 'Origins that browsers may connect from beside the server\'s own, `\'*\'` for all, or a function that decides.' },
  health: { kind: 'boolean', default: false, doc: 'Whether the health service (`health/Health/Check`) is registered; `app.rpc.health` sets statuses.' },
  reflection: { kind: 'guard', default: false, doc: 'Whether the reflection service is registered, which tells clients what RPCs there are. A function is asked at every call and says who may look.' },
  decorator: { kind: 'string', default: 'rpc', pattern: /^[A-Za-z_$][\w$]*$/, doc: 'Name of the decorator; another one for a second instance.' }
}

/** Every option with a value. */
export type Resolved<Options> = { readonly [Name in keyof Required<Options>]: Required<Options>[Name] }

/**
 * Checks what was given against the table and fills in the defaults. The result is frozen and never the
 * caller's own object.
 * @param fail makes the error for a wrong option.
 */
export function resolveOptions<Options extends object> (table: Table<Options>, given: Options, fail: (message: string) => Error): Resolved<Options> {
  if (typeof given !== 'object' || given === null) throw fail('options must be an object')
  const specs: Readonly<Record<string, OptionSpec>> = table
  for (const name of Object.keys(given)) if (!Object.hasOwn(specs, name)) throw fail(`there is no option ${name}`)
  const resolved: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(specs)) {
    const value: unknown = (given as Record<string, unknown>)[name]
    const wrong = value === undefined ? undefined : complaint(spec, value)
    if (wrong !== undefined) throw fail(`option ${name} must be ${wrong}`)
    resolved[name] = value === undefined ? spec.default : Array.isArray(value) ? Object.freeze([...value as unknown[]]) : value
  }
  return Object.freeze(resolved) as Resolved<Options>
}

/** What the value must be, when it is not. */
function complaint (spec: OptionSpec, value: unknown): string | undefined {
  switch (spec.kind) {
    case 'integer':
      return Number.isSafeInteger(value) && (value as number) >= spec.min && (value as number) <= spec.max ? undefined : `an integer from ${spec.min} to ${spec.max}`
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'true or false'
    case 'string':
      return typeof value === 'string' && spec.pattern.test(value) ? undefined : `a string that matches ${spec.pattern}`
    case 'choice':
      return spec.choices.includes(value as string) ? undefined : `one of ${spec.choices.map((choice) => JSON.stringify(choice)).join(', ')}`
    case 'list':
      return Array.isArray(value) && value.every((item) => item !== null && (spec.of === 'function' ? typeof item === 'function' : typeof item === 'object')) ? undefined : `a list of ${spec.of}s`
    case 'guard':
      return typeof value === 'boolean' || typeof value === 'function' ? undefined : 'true, false or a function'
    case 'origins':
      return value === '*' || typeof value === 'function' || (Array.isArray(value) && value.every((item) => typeof item === 'string')) ? undefined : '\'*\', a list of strings or a function'
  }
}
