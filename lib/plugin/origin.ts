/**
 * Which pages may connect. Browsers send cookies with the WebSocket handshake of any page and CORS does not guard it:
 * without this check every page could call with its visitor's rights. Knows no engine.
 */
import type { FastifyRequest } from 'fastify'
import type { RpcPluginOptions } from '../../types/options.js'
import { ErrorCode } from '../errors.js'
import { misuse } from '../server/misuse.js'

type AllowedOrigins = NonNullable<RpcPluginOptions['allowedOrigins']>

/** Whether an upgrade request may go on. */
export type OriginCheck = (request: FastifyRequest) => boolean | Promise<boolean>

/**
 * A request without an Origin comes from no browser and passes; one with an Origin must be of the server's own page or
 * allowed.
 * @throws CLAW_ERR_OPTION_INVALID for an entry of the list that can be no Origin.
 */
export function originCheck (allowed: AllowedOrigins): OriginCheck {
  const isAllowed = typeof allowed === 'function' ? allowed : listed(allowed === '*' ? [allowed] : allowed)
  return (request) => {
    const { origin } = request.headers
    if (origin === undefined || isOwn(origin, request)) return true
    return isAllowed(origin, request)
  }
}

function listed (origins: readonly string[]): (origin: string) => boolean {
  for (const origin of origins) {
    if (origin === '*' || origin === 'null' || /^[a-z][a-z\d+.-]*:\/\/[^/]+\/?$/i.test(origin)) continue
    throw misuse(ErrorCode.OPTION_INVALID, `allowedOrigins has ${JSON.stringify(origin)}, which is neither '*' nor an origin like https://example.org`)
  }
  if (origins.includes('*')) return () => true
  const known = new Set(origins.map(normalize))
  return (origin) => known.has(normalize(origin))
}

/** As browsers write it: lower case, no default port, no slash. Schemes the URL standard knows little of (`app://x`) too. */
function normalize (origin: string): string {
  const parsed = parse(origin)
  return parsed === undefined || parsed.origin === 'null' ? origin.toLowerCase().replace(/\/$/, '') : parsed.origin
}

/**
 * Whether the Origin is the address the request came to: host and port as in the Host header, or what a trusted proxy
 * says it was (`trustProxy`). That the server itself sees no TLS tells nothing, a proxy may have ended it; that it does
 * see TLS forbids pages without.
 */
function isOwn (origin: string, request: FastifyRequest): boolean {
  const page = parse(origin)
  if (page === undefined || (page.protocol !== 'http:' && page.protocol !== 'https:')) return false
  if (request.protocol === 'https' && page.protocol !== 'https:') return false
  // The page's scheme says which port is the default one and may be missing.
  return parse(`${page.protocol}//${request.host}`)?.host === page.host
}

function parse (url: string): URL | undefined {
  return URL.canParse(url) ? new URL(url) : undefined
}
