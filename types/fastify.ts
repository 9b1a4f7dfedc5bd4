/**
 * What the plugin adds to Fastify's types. A second instance under another decorator needs its own line, in the
 * program that registers it: `declare module 'fastify' { interface FastifyInstance { admin: RpcScope } }`.
 */
import type { RpcScope } from '../lib/plugin/rpc-scope.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Claw RPC as seen from this encapsulation scope. */
    readonly rpc: RpcScope
  }
}
