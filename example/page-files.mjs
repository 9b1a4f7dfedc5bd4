// @ts-check
/**
 * The page's files: example/public and the client as it was built. Both are read at the start, each file a route of its
 * own, so a URL that is not among them does not exist, whatever it spells. The client needs no bundler here: it is
 * browser-ready ES modules.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { extname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** @type {Record<string, string | undefined>} */
const TYPES = { '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml' }

const PUBLIC = new URL('public', import.meta.url)

/** @param {import('fastify').FastifyInstance} app */
export function servePage (app) {
  const dist = fileURLToPath(new URL('..', import.meta.resolve('fastify-claw')))
  const files = new Map([...list(fileURLToPath(PUBLIC), '/'), ...list(join(dist, 'lib'), '/claw/lib/'), ...list(join(dist, 'types'), '/claw/types/')])
  files.set('/', join(fileURLToPath(PUBLIC), 'index.html'))

  for (const [url, file] of files) {
    const body = readFileSync(file)
    const headers = { 'content-type': TYPES[extname(file)], 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' }
    app.get(url, (_request, reply) => reply.headers(headers).send(body))
  }
}

/**
 * The files below a folder that a page may ask for, each with its URL.
 * @param {string} folder
 * @param {string} prefix
 * @returns {[string, string][]}
 */
function list (folder, prefix) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => TYPES[extname(name)] !== undefined)
    .map((name) => [prefix + name.split(sep).join('/'), join(folder, name)])
}
