/**
 * Strings to UTF-8 and back, in place. Names, keys and error texts are short and nearly always ASCII, where
 * a loop beats a call into TextEncoder or TextDecoder. It knows nothing of fields.
 */
const encoder = new TextEncoder()
// A leading U+FEFF is part of the text: without ignoreBOM it would not survive a round trip.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

// Up to so many bytes a loop is faster in Node 20 (measured).
const SHORT_READ = 12
const SHORT_WRITE = 20

/** How many bytes the text takes; a lone surrogate takes the three of U+FFFD, as TextEncoder writes it. */
export function utf8Length (text: string): number {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    length += unit < 0x800 ? 1 : 2
    // A pair is two units and four bytes: the second unit adds nothing beyond its own one and this one.
    if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++
  }
  return length
}

/** Writes the text and answers how many bytes that took. The room for them is the caller's care. */
export function writeUtf8 (bytes: Uint8Array, at: number, text: string): number {
  if (text.length <= SHORT_WRITE) {
    let i = 0
    for (; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit >= 0x80) break
      bytes[at + i] = unit
    }
    if (i === text.length) return i
  }
  return encoder.encodeInto(text, bytes.subarray(at)).written
}

/** Reads text; invalid UTF-8 becomes U+FFFD. */
export function readUtf8 (bytes: Uint8Array, at: number, length: number): string {
  const end = at + length
  if (length <= SHORT_READ) {
    let text = ''
    let i = at
    for (; i < end; i++) {
      const byte = bytes[i] as number
      if (byte >= 0x80) break
      text += String.fromCharCode(byte)
    }
    if (i === end) return text
  }
  return decoder.decode(bytes.subarray(at, end))
}
