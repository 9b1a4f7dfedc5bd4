/**
 * The frames of a zstd payload (RFC 8878, section 3.1.1), read without decompressing: headers of frames and
 * blocks say where each ends and how much it can yield. Decoders need it because node:zlib returns what it
 * has of a truncated frame and stops silently after the first of several, and so that a false content size
 * is found before it is believed.
 *
 *   frame: magic 4 | descriptor 1 | window 0-1 | dictionary 0-4 | content size 0-8 | blocks | checksum 0 or 4
 *   block: 3 bytes, little-endian: last 1 bit | type 2 bits | size 21 bits; then its content
 */
import { corrupt, tooLarge } from './failure.js'

export const ZSTD = 'zstd'

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50 // and the 15 numbers behind it
const MAX_BLOCK_BYTES = 128 * 1024
/** The headers of literals and of sequences. */
const MIN_COMPRESSED_BYTES = 2
/** The widest window that encoders use without being told to; some decoders allocate it. */
const MAX_WINDOW_BYTES = 32 * 1024 * 1024
/** Every frame costs a decoder its own set-up. A payload needs one. */
const MAX_FRAMES = 256

/** How a block's content is written. */
export const BlockType = { Raw: 0, Rle: 1, Compressed: 2 } as const

/** Where one frame lies and what it says about itself; offsets count from the start of the payload. */
export interface ZstdFrame {
  start: number
  /** Of the first block. */
  blocks: number
  /** Behind the checksum. */
  end: number
  /** Bytes of output, where the header says it. Possible, given the blocks, but not proved. */
  contentSize: number | undefined
  /** What one block yields at most. */
  maxBlock: number
  /** Whether the low half of the content's XXH64 is the last 4 bytes. */
  hasChecksum: boolean
  /** Output is at least and at most this. */
  minOutput: number
  maxOutput: number
}

/**
 * All frames of a payload, skippable ones left out; together they cover it to the last byte.
 * @throws RpcError as types/compressor.ts says; too large also when a window exceeds 32 MiB
 */
export function scanZstdFrames (bytes: Uint8Array, maxBytes: number): ZstdFrame[] {
  if (bytes.length === 0) throw corrupt(ZSTD, 'empty')
  const frames: ZstdFrame[] = []
  let count = 0
  let output = 0
  for (let at = 0; at < bytes.length;) {
    if (++count > MAX_FRAMES) throw corrupt(ZSTD, `more than ${MAX_FRAMES} frames`)
    need(bytes, at, 8)
    const magic = readLittleEndian(bytes, at, 4)
    if (magic >= SKIPPABLE_MAGIC && magic < SKIPPABLE_MAGIC + 16) {
      const length = readLittleEndian(bytes, at + 4, 4)
      need(bytes, at + 8, length)
      at += 8 + length
      continue
    }
    if (magic !== MAGIC) throw corrupt(ZSTD, 'no frame')
    const frame = scanFrame(bytes, at)
    output += frame.contentSize ?? frame.minOutput
    if (output > maxBytes) throw tooLarge(ZSTD, maxBytes)
    frames.push(frame)
    at = frame.end
  }
  return frames
}

/** The size and type of the block at this offset, which must exist. */
export function readBlockHeader (bytes: Uint8Array, at: number): { isLast: boolean, type: number, size: number } {
  const bits = readLittleEndian(bytes, at, 3)
  return { isLast: (bits & 1) === 1, type: (bits >>> 1) & 3, size: bits >>> 3 }
}

function scanFrame (bytes: Uint8Array, start: number): ZstdFrame {
  const descriptor = bytes[start + 4]!
  const isSingleSegment = (descriptor & 0x20) !== 0
  if ((descriptor & 0x08) !== 0) throw corrupt(ZSTD, 'a reserved bit is set')
  const windowBytes = isSingleSegment ? 0 : 1
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6]!

  let at = start + 5
  need(bytes, at, windowBytes + dictionaryBytes + sizeBytes)
  const windowByte = bytes[at]!
  at += windowBytes
  if (readLittleEndian(bytes, at, dictionaryBytes) !== 0) throw corrupt(ZSTD, 'it needs a dictionary')
  at += dictionaryBytes
  const contentSize = sizeBytes === 0 ? undefined : readLittleEndian(bytes, at, sizeBytes) + (sizeBytes === 2 ? 256 : 0)
  at += sizeBytes

  const window = contentSize !== undefined && isSingleSegment
    ? contentSize
    : 2 ** (10 + (windowByte >>> 3)) * (1 + (windowByte & 7) / 8)
  if (!isSingleSegment && window > MAX_WINDOW_BYTES) throw tooLarge('the window of a zstd', MAX_WINDOW_BYTES)
  const maxBlock = Math.min(window, MAX_BLOCK_BYTES)

  const blocks = at
  let minOutput = 0
  let maxOutput = 0
  for (let isLast = false; !isLast;) {
    need(bytes, at, 3)
    const block = readBlockHeader(bytes, at)
    if (block.type > BlockType.Compressed) throw corrupt(ZSTD, 'an unknown block type')
    if (block.type === BlockType.Compressed && block.size < MIN_COMPRESSED_BYTES) throw corrupt(ZSTD, 'a block that is too short')
    if (block.size > maxBlock) throw corrupt(ZSTD, 'a block larger than its window')
    const length = block.type === BlockType.Rle ? 1 : block.size
    need(bytes, at + 3, length)
    if (block.type !== BlockType.Compressed) minOutput += block.size
    maxOutput += block.type === BlockType.Compressed ? maxBlock : block.size
    at += 3 + length
    isLast = block.isLast
  }

  const hasChecksum = (descriptor & 0x04) !== 0
  if (hasChecksum) need(bytes, at, 4)
  if (contentSize !== undefined) {
    if (contentSize < minOutput || contentSize > maxOutput) throw corrupt(ZSTD, 'a content size that the blocks cannot yield')
    minOutput = maxOutput = contentSize
  }
  return { start, blocks, end: at + (hasChecksum ? 4 : 0), contentSize, maxBlock, hasChecksum, minOutput, maxOutput }
}

function need (bytes: Uint8Array, at: number, length: number): void {
  if (length > bytes.length - at) throw corrupt(ZSTD, 'truncated')
}

/** Of up to 8 bytes; beyond 2^53 it is as imprecise as a number is. */
function readLittleEndian (bytes: Uint8Array, at: number, length: number): number {
  let value = 0
  for (let i = length - 1; i >= 0; i--) value = value * 0x100 + bytes[at + i]!
  return value
}
