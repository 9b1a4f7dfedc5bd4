/**
 * Who is measured. `packages` are what a system needs beyond the project's own; one that is not there is left out and
 * named. `cells` restricts a variant to the cells where it can differ. Imports none of them.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CELLS } from './cells.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
const ROOT = join(HERE, '..', '..')
const PEERS = join(HERE, 'node_modules')

const RATIO_CELLS = CELLS.filter(({ group }) => group !== 'stall').map(({ id }) => id)
/** Where masking in JavaScript shows. */
const MASKED_CELLS = ['u1kc64', 'u64kc64', 'cs16', 'cs4k', 'bd4k']

/** What all ratios are to. */
export const BASE = 'raw-ws'
/** The base once more in the same round: its ratio is the noise of the table. */
export const BASE_AGAIN = 'raw-ws (again)'
export const OURS = 'fastify-claw'

const RSOCKET = ['rsocket-core', 'rsocket-websocket-client', 'rsocket-websocket-server']

export const SYSTEMS = [
  { id: BASE, file: 'raw-ws', packages: [] },
  { id: BASE_AGAIN, file: 'raw-ws', packages: [], cells: RATIO_CELLS },
  { id: OURS, file: 'claw', packages: [] },
  { id: 'fastify-claw, zero mask', file: 'claw', packages: [], cells: MASKED_CELLS, options: { zeroMask: true } },
  // ws finds bufferutil from where ws lies, which is not where the peers are installed.
  { id: 'fastify-claw, bufferutil', file: 'claw', packages: ['bufferutil'], cells: MASKED_CELLS, env: { WS_NO_BUFFER_UTIL: undefined, NODE_PATH: PEERS } },
  { id: 'raw-ws-batch', file: 'raw-ws-batch', packages: [] },
  { id: 'fastify-ws', file: 'fastify-ws', packages: [] },
  { id: 'rsocket', file: 'rsocket', packages: RSOCKET },
  { id: 'capnweb', file: 'capnweb', packages: ['capnweb'] },
  { id: 'tRPC', file: 'trpc', packages: ['@trpc/server', '@trpc/client'] },
  { id: 'socket.io', file: 'socketio', packages: ['socket.io', 'socket.io-client'] },
  { id: 'REST', file: 'rest', packages: ['undici'] }
].map((system) => ({ options: {}, env: {}, ...system, file: join(HERE, 'systems', `${system.file}.mjs`) }))

const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const own = { ...dependencies, ...devDependencies }

/** Where a package lies: what the project itself uses is used in every system. */
function folderOf (name) {
  const folder = join(Object.hasOwn(own, name) ? join(ROOT, 'node_modules') : PEERS, name)
  return existsSync(join(folder, 'package.json')) ? folder : undefined
}

/** The packages of these systems that are not installed. */
export function missingPackages (systems = SYSTEMS) {
  return [...new Set(systems.flatMap(({ packages }) => packages))].filter((name) => folderOf(name) === undefined)
}

/** The installed version of a package, for the report. */
export function versionOf (name) {
  const folder = folderOf(name)
  return folder === undefined ? '?' : JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version
}

/** The systems with these ids, compared without case; all for undefined. The base is always among them. */
export function chooseSystems (names) {
  if (names === undefined) return SYSTEMS
  const wanted = names.map((name) => name.toLowerCase())
  for (const name of wanted) {
    if (!SYSTEMS.some(({ id }) => id.toLowerCase() === name)) throw new Error(`no system ${name}; there are: ${SYSTEMS.map(({ id }) => id).join('; ')}`)
  }
  return SYSTEMS.filter(({ id }) => id === BASE || wanted.includes(id.toLowerCase()))
}
