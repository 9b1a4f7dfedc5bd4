/**
 * `app.close()` as a drain with an end. Fastify gives each preClose hook `pluginTimeout` and makes close() reject beyond
 * it; it waits for every socket without limit, and `ws` waits 30 s for a peer that does not answer. So the drain has its
 * own clock, which always runs out first:
 *
 *   begin: GoAway, nothing new --- calls end by themselves ---> callsMs: the rest is told Unavailable
 *   every socket is closed with 1001 as soon as nothing runs on it ---> totalMs: what is still there is cut
 */
import type { FastifyBaseLogger } from 'fastify'
import { Category, ErrorCode, RpcError } from '../errors.js'
import type { Server } from '../server/server.js'

/** Of what there is, kept from the calls for the closing handshake. */
const FAREWELL_SHARE = 0.1
const MIN_FAREWELL_MS = 50
const MAX_FAREWELL_MS = 500
/** Kept free below `pluginTimeout`: timers fire late in a busy process. */
const MARGIN_SHARE = 0.1
const MAX_MARGIN_MS = 500

/** How long the two parts of a shutdown may take, milliseconds from its begin. */
export interface ShutdownBudget {
  /** When calls that still run are ended. */
  readonly callsMs: number
  /** When connections that are still there are cut. */
  readonly totalMs: number
}

/** @param pluginTimeout Fastify's; 0 for none. */
export function shutdownBudget (shutdownTimeoutMs: number, pluginTimeout: number): ShutdownBudget {
  const most = pluginTimeout === 0 ? Infinity : pluginTimeout - Math.min(MAX_MARGIN_MS, pluginTimeout * MARGIN_SHARE)
  const totalMs = Math.min(Math.max(shutdownTimeoutMs, MIN_FAREWELL_MS), most)
  const farewellMs = Math.min(MAX_FAREWELL_MS, Math.max(MIN_FAREWELL_MS, totalMs * FAREWELL_SHARE))
  return { callsMs: Math.max(0, totalMs - farewellMs), totalMs }
}

/** Drains the server within the budget. Afterwards it has no connection. */
export async function shutDown (server: Server, { callsMs, totalMs }: ShutdownBudget, log: FastifyBaseLogger): Promise<void> {
  const patience = new AbortController()
  const callsTimer = setTimeout(() => { patience.abort() }, callsMs)
  const totalTimer = setTimeout(() => {
    const cut = new RpcError(Category.Unavailable, 'server is shutting down', { code: ErrorCode.CLOSED })
    for (const connection of server.connections) connection.connection.destroy(cut)
  }, totalMs)
  try {
    const finished = await server.shutdown({ signal: patience.signal })
    if (!finished) log.warn({ shutdownTimeoutMs: totalMs }, 'RPCs were still running at the end of the shutdown and were ended')
  } finally {
    clearTimeout(callsTimer)
    clearTimeout(totalTimer)
  }
}

/** The shutdowns of all instances of the plugin in one app, by something that only this app has. */
const groups = new WeakMap<object, Set<() => Promise<void>>>()

/**
 * Makes a preClose hook. Fastify runs them one after another; with two instances of the plugin their drains would add up,
 * and the second would take calls while the first waits. The first hook therefore begins them all.
 */
export function shutdownHook (app: object, shutdown: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  const begin = async (): Promise<void> => { await (running ??= shutdown()) }
  const group = groups.get(app) ?? new Set()
  groups.set(app, group.add(begin))
  return async () => {
    await Promise.allSettled([...group].map((beginOne) => beginOne()))
    await begin()
  }
}
