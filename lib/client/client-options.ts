/** The client's table of options: defaults and bounds. Small on purpose, for it is in every page's bundle. */
import { ErrorCode } from '../errors.js'
import type { ClientOptions } from '../../types/client-options.js'
import { misuse } from './misuse.js'

const MIB = 1024 * 1024
const MAX = 0x7fffffff

/** Name: default, least, most. */
const NUMBERS = {
  compression: [0, 0, 255],
  compressionMinBytes: [1024, 0, MAX],
  maxRecvMsgSize: [4 * MIB, 1, MAX],
  maxSendMsgSize: [4 * MIB, 1, MAX],
  maxMetadataBytes: [64 * 1024, 0, MAX],
  windowBytes: [256 * 1024, 128 * 1024, MAX],
  maxWindowBytes: [4 * MIB, 0, MAX],
  sendBufferBytes: [4 * MIB, 0, MAX],
  openTimeoutMs: [30_000, 1, MAX],
  keepAliveIntervalMs: [30_000, 0, MAX],
  keepAliveTimeoutMs: [10_000, 1, MAX],
  connectTimeoutMs: [30_000, 1, MAX],
  minorVersion: [1, 0, 1]
} as const

type Numbers = { readonly [Name in keyof typeof NUMBERS]: number }

const NAMES = Object.keys(NUMBERS) as (keyof typeof NUMBERS)[]
const DEFAULTS = Object.fromEntries(Object.entries(NUMBERS).map(([name, [value]]) => [name, value])) as Numbers

/** The numeric options, each with a value. @throws TypeError CLAW_ERR_OPTION_INVALID */
export function resolveNumbers (given: ClientOptions): Numbers {
  const resolved: Record<string, number> = { ...DEFAULTS }
  for (const name of NAMES) {
    const wanted: unknown = (given as Record<string, unknown>)[name]
    if (wanted === undefined || wanted === null) continue
    const [, least, most] = NUMBERS[name]
    if (!Number.isSafeInteger(wanted) || (wanted as number) < least || (wanted as number) > most) {
      throw misuse(ErrorCode.OPTION_INVALID, `option ${name} must be an integer from ${least} to ${most}`)
    }
    resolved[name] = wanted as number
  }
  return resolved as Numbers
}
