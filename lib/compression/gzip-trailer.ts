/** The end of a gzip member (RFC 1952, section 2.3.1): the CRC-32 of the data and their length. */

const TRAILER_BYTES = 8
/** The smallest member: a header of 10 bytes, an empty deflate block of 2 and the trailer. */
export const MIN_MEMBER_BYTES = 20

const table = new Uint32Array(256).map((_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  return crc
})

/** The CRC-32 and the count of the data of one member, fed in pieces. */
export class MemberSum {
  #crc = -1
  #bytes = 0

  update (piece: Uint8Array): void {
    let crc = this.#crc
    for (let i = 0; i < piece.length; i++) crc = table[(crc ^ piece[i]!) & 0xff]! ^ (crc >>> 8)
    this.#crc = crc
    this.#bytes += piece.length
  }

  /** Whether the 8 bytes before `end` are the trailer of these data. */
  matches (bytes: Uint8Array, end: number): boolean {
    return end >= MIN_MEMBER_BYTES &&
      readU32(bytes, end - TRAILER_BYTES) === (~this.#crc >>> 0) && readU32(bytes, end - 4) === this.#bytes % 2 ** 32
  }
}

/** What the last member says the length of its data is, modulo 2^32. A peer may lie; 0 when there is no member. */
export function claimedLength (bytes: Uint8Array): number {
  return bytes.length < MIN_MEMBER_BYTES ? 0 : readU32(bytes, bytes.length - 4)
}

function readU32 (bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}
