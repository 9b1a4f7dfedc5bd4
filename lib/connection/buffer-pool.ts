/**
 * Memory for the bytes of a turn. A connection holds a buffer only while it has something unsent; idle
 * ones hold none. A few buffers of each size are kept for the next turn of any connection.
 */
import type { ByteAllocator } from '../wire/byte-writer.js'

/** The third holds the largest chunk with the frame around it. */
const SIZES: readonly number[] = [4 * 1024, 16 * 1024, 66 * 1024, 256 * 1024]
/** Kept of each size: 64 x 4 KiB down to 4 x 256 KiB, some 3.4 MiB for the process at the most. */
const KEPT: readonly number[] = [64, 64, 16, 4]

const free: Uint8Array[][] = SIZES.map(() => [])

/** Lends buffers. Larger wishes than the largest size are met by memory that is not kept. */
export const bufferPool: ByteAllocator = {
  allocate (minBytes) {
    for (let i = 0; i < SIZES.length; i++) {
      const size = SIZES[i] as number
      if (minBytes <= size) return free[i]?.pop() ?? new Uint8Array(size)
    }
    return new Uint8Array(minBytes)
  },

  release (bytes) {
    const { buffer } = bytes
    const i = SIZES.indexOf(buffer.byteLength)
    if (i === -1) return
    const list = free[i] as Uint8Array[]
    if (list.length < (KEPT[i] as number)) list.push(new Uint8Array(buffer))
  }
}
