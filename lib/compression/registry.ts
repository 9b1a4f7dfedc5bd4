/**
 * Which compression formats this side speaks, by the wire's number and by name (protocol 1.0, section 4).
 * It knows no format itself and runs in browsers; node.ts fills one for a server.
 */
import type { Compressor } from '../../types/compressor.js'
import { Category, ErrorCode, RpcError } from '../errors.js'

const MAX_ID = 255

/**
 * The formats of one server or client. Both sides of a connection must agree on what a number means: the
 * wire negotiates nothing, and 1, 2 and 3 are gzip, snappy and zstd for everybody.
 */
export class CompressorRegistry implements Iterable<Compressor> {
  readonly #byId = new Map<number, Compressor>()
  readonly #byName = new Map<string, Compressor>()

  /** Starts with these formats, see {@link register}. */
  constructor (compressors: Iterable<Compressor> = []) {
    for (const compressor of compressors) this.register(compressor)
  }

  /**
   * Adds a format. One whose number or name is taken is refused unless `replace` says that what holds the
   * number or the name shall go.
   * @throws RpcError `CLAW_ERR_OPTION_INVALID`: the number is none of 1 to 255, the name is empty, a method
   * is missing, or number or name is taken. The registry is then unchanged.
   */
  register (compressor: Compressor, options: { replace?: boolean } = {}): this {
    const { id, name } = compressor
    if (!Number.isInteger(id) || id < 1 || id > MAX_ID) throw invalid(`the id of a compressor must be an integer from 1 to ${MAX_ID}, not ${String(id)}`)
    if (typeof name !== 'string' || name === '') throw invalid(`compressor ${id} has no name`)
    if (typeof compressor.compress !== 'function' || typeof compressor.decompress !== 'function') {
      throw invalid(`compressor ${name} lacks compress or decompress`)
    }

    const holders = [this.#byId.get(id), this.#byName.get(name)].filter(holder => holder !== undefined)
    const [holder] = holders
    if (holder !== undefined && options.replace !== true) {
      throw invalid(`compressor ${name} (${id}) collides with ${holder.name} (${holder.id}); pass { replace: true } to replace it`)
    }
    for (const { id, name } of holders) {
      this.#byId.delete(id)
      this.#byName.delete(name)
    }
    this.#byId.set(id, compressor)
    this.#byName.set(name, compressor)
    return this
  }

  /** The format with this number of the wire. */
  get (id: number): Compressor | undefined {
    return this.#byId.get(id)
  }

  /** The format with this name, as options give it. */
  byName (name: string): Compressor | undefined {
    return this.#byName.get(name)
  }

  /** How many formats there are. */
  get size (): number {
    return this.#byId.size
  }

  /** The formats in the order of their registration. */
  [Symbol.iterator] (): IterableIterator<Compressor> {
    return this.#byId.values()
  }
}

function invalid (message: string): RpcError {
  return new RpcError(Category.InvalidArgument, message, { code: ErrorCode.OPTION_INVALID })
}
