/**
 * Packing: a frame with its zero bytes squeezed out (protocol 1.0, section 3), and telling packed from plain
 * (hazard H1). It owns the bytes of a pack block; when to pack is the connection's business, and what the
 * content means is nobody's here.
 *
 *     unpacked size u64 | packed size u64 | per word: tag, its non-zero bytes, after tags 00 and ff a count
 */
import type { ByteWriter } from './byte-writer.js'
import { frameTooLarge, malformed } from './malformed.js'
import { MsgType } from './message.js'
import { WORD } from './struct.js'

/** The two sizes before the packed data. */
export const PACK_HEADER_BYTES = 2 * WORD
/** How many bytes {@link isPlainFrameStart} looks at; exactly a pack header. */
export const SNIFF_BYTES = PACK_HEADER_BYTES

const ALL_ZERO = 0x00
const NO_ZERO = 0xff
const MAX_RUN = 0xff

/** What `size` bytes come to at worst: each word alone with tag and count. */
export function maxPackedBytes (size: number): number {
  return size / 8 * 10
}

/**
 * Writes bytes[start, end) as one pack block; nothing at all for no bytes, as Go does. Byte for byte what
 * Go writes. Answers how many bytes it wrote.
 * @throws RangeError when the range is not whole words: the caller's mistake, not the peer's
 */
export function pack (writer: ByteWriter, bytes: Uint8Array, start = 0, end = bytes.length): number {
  const size = end - start
  if (size % WORD !== 0) throw new RangeError(`cannot pack ${size} bytes: not a multiple of ${WORD}`)
  if (size === 0) return 0

  const block = writer.reserve(PACK_HEADER_BYTES + maxPackedBytes(size))
  const out = writer.bytes
  let to = block + PACK_HEADER_BYTES
  for (let at = start; at < end;) {
    const tagAt = to++
    let tag = 0
    for (let i = 0; i < WORD; i++) {
      const byte = bytes[at + i] as number
      if (byte === 0) continue
      tag |= 1 << i
      out[to++] = byte
    }
    out[tagAt] = tag
    at += WORD
    if (tag === ALL_ZERO) {
      const run = runLength(bytes, at, end, WORD)
      out[to++] = run
      at += run * WORD
    } else if (tag === NO_ZERO) {
      // A run goes on over words with a single zero: tagging them would save nothing.
      const run = runLength(bytes, at, end, 1)
      out[to++] = run
      out.set(bytes.subarray(at, at + run * WORD), to)
      to += run * WORD
      at += run * WORD
    }
  }
  putSize(writer.view, block, size)
  putSize(writer.view, block + WORD, to - block - PACK_HEADER_BYTES)
  writer.position = to
  return to - block
}

/** How many words follow that are all zero (`zeros` 8) or have at most that many zeros. */
function runLength (bytes: Uint8Array, at: number, end: number, zeros: number): number {
  let run = 0
  while (run < MAX_RUN && at < end) {
    let count = 0
    for (let i = 0; i < WORD; i++) if (bytes[at + i] === 0) count++
    if (zeros === WORD ? count < WORD : count > zeros) break
    run++
    at += WORD
  }
  return run
}

function putSize (view: DataView, at: number, size: number): void {
  view.setUint32(at, size, true)
  view.setUint32(at + 4, 0, true)
}

/** The two sizes that a pack block announces. */
export interface PackedSizes {
  /** How many bytes come out. */
  unpacked: number
  /** How many bytes follow the header. */
  packed: number
}

/**
 * Reads and checks the header of a pack block, 16 bytes from `at`, so that a reader knows what it may gather.
 * @param maxBytes the largest unpacked size that is accepted
 * @throws ProtocolError when too much is announced, or sizes that no packing of this frame has
 */
export function readPackedSizes (bytes: Uint8Array, at: number, maxBytes: number): PackedSizes {
  const unpacked = sizeAt(bytes, at)
  const packed = sizeAt(bytes, at + WORD)
  if (unpacked % WORD !== 0) throw malformed(`packed frame of ${unpacked} bytes`)
  if (unpacked > maxBytes) throw frameTooLarge(unpacked, maxBytes)
  if (packed > maxPackedBytes(unpacked)) throw malformed(`${packed} bytes are too many for a packed frame of ${unpacked}`)
  return { unpacked, packed }
}

/** Beyond 2^53 it is not exact, and far beyond every limit. */
function sizeAt (bytes: Uint8Array, at: number): number {
  let size = 0
  for (let i = WORD - 1; i >= 0; i--) size = size * 0x100 + (bytes[at + i] as number)
  return size
}

/**
 * Undoes {@link pack}: bytes[start, end) is exactly one pack block. Answers new memory of exactly the announced
 * size, which is allocated only after it was found to be at most `maxBytes`.
 * @throws ProtocolError (`CLAW_ERR_MALFORMED`, `CLAW_ERR_FRAME_TOO_LARGE`)
 */
export function unpack (bytes: Uint8Array, start: number, end: number, maxBytes: number): Uint8Array {
  if (end - start < PACK_HEADER_BYTES) throw malformed(`pack block of ${end - start} bytes`)
  const { unpacked, packed } = readPackedSizes(bytes, start, maxBytes)
  let at = start + PACK_HEADER_BYTES
  if (packed !== end - at) throw malformed(`pack block announces ${packed} bytes and has ${end - at}`)

  const out = new Uint8Array(unpacked) // zeros: what is not written below is a zero of the content
  let to = 0
  while (at < end) {
    const tag = bytes[at++] as number
    if (to === unpacked) throw malformed('pack block holds more than it announces')
    for (let i = 0; i < WORD; i++) {
      if ((tag & 1 << i) === 0) continue
      if (at === end) throw malformed('pack block ends inside a word')
      out[to + i] = bytes[at++] as number
    }
    to += WORD
    if (tag !== ALL_ZERO && tag !== NO_ZERO) continue

    if (at === end) throw malformed('pack block ends before a count')
    const run = (bytes[at++] as number) * WORD
    if (run > unpacked - to) throw malformed('pack block holds more than it announces')
    if (tag === NO_ZERO) {
      if (run > end - at) throw malformed('pack block ends inside a literal run')
      out.set(bytes.subarray(at, at + run), to)
      at += run
    }
    to += run
  }
  if (to !== unpacked) throw malformed(`pack block announces ${unpacked} bytes and holds ${to}`)
  return out
}

/**
 * Whether 16 bytes that may start either form start a plain frame (H1): `00 00 0e` and, as second word,
 * `00 00 06 T 00 00 00 00` with a known type T. Only of use after packing was agreed; before, all is plain.
 * Legal plain frames that look different (a number in the root header, another field first, no type at all)
 * are told for packed then, but nobody writes them: Go and this package put the type first.
 */
export function isPlainFrameStart (bytes: Uint8Array, at: number): boolean {
  const type = bytes[at + 11] as number
  return bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 0x0e &&
    bytes[at + 8] === 0 && bytes[at + 9] === 0 && bytes[at + 10] === 0x06 &&
    type >= MsgType.Open && type <= MsgType.WindowUpdate &&
    bytes[at + 12] === 0 && bytes[at + 13] === 0 && bytes[at + 14] === 0 && bytes[at + 15] === 0
}

/**
 * Writes a whole plain frame packed; answers whether it did. A pack block looks like a plain frame when its
 * unpacked size is 0x0e0000 modulo 2^24 and its packed size is T * 2^24 + 0x060000: the peer's sniffing would
 * take it for one and lose the stream. Then the frame goes out plain, which the same sniffing gets right.
 */
export function writePackedFrame (writer: ByteWriter, frame: Uint8Array, start = 0, end = frame.length): boolean {
  const block = writer.position
  pack(writer, frame, start, end)
  if (!isPlainFrameStart(writer.bytes, block)) return true

  writer.position = block
  const at = writer.reserve(end - start)
  writer.bytes.set(frame.subarray(start, end), at)
  writer.position = at + end - start
  return false
}
