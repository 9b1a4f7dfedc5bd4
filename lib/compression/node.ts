/** The formats of a server: gzip and snappy always, zstd where there is an implementation of it. */
import type { NodeGzipOptions } from './node-gzip.js'
import { nodeGzip } from './node-gzip.js'
import type { NodeZstdOptions } from './node-zstd.js'
import { nodeZstd } from './node-zstd.js'
import { CompressorRegistry } from './registry.js'
import { snappy } from './snappy.js'

/** What {@link nodeCompressors} registers. */
export interface NodeCompressorsOptions {
  gzip?: NodeGzipOptions
  /**
   * Absent: zstd is registered where node:zlib or the package zstd-napi has it, silently not elsewhere.
   * True or options: it must be there. False: it is not registered and nothing is loaded.
   */
  zstd?: boolean | NodeZstdOptions
}

/**
 * A registry of the wire's own formats for a server, to which the user's may be added. Rejects with RpcError
 * `CLAW_ERR_OPTION_INVALID` for wrong options and for zstd that is asked for and not there.
 */
export async function nodeCompressors (options: NodeCompressorsOptions = {}): Promise<CompressorRegistry> {
  const registry = new CompressorRegistry([nodeGzip(options.gzip), snappy()])
  const { zstd } = options
  if (zstd === undefined) {
    const found = await nodeZstd().catch(() => undefined) // without options it fails only where there is none
    if (found !== undefined) registry.register(found)
  } else if (zstd !== false) {
    registry.register(await nodeZstd(zstd === true ? {} : zstd))
  }
  return registry
}
