/**
 * Metadata: the key/value pairs that travel beside payloads, in an Open, an answer, a message or as
 * trailers of a Close (protocol 1.0, section 7). A leaf: it knows neither messages nor sessions.
 */

/** One pair as it stands on the wire: a key as sent and its raw bytes. */
export interface MetadataEntry {
  readonly key: string
  readonly value: Uint8Array
}

/** What a caller may give where metadata is taken: strings are sent as UTF-8. */
export type MetadataInit =
  | Metadata
  | Readonly<Record<string, string | Uint8Array>>
  | Iterable<readonly [string, string | Uint8Array]>

/** Shared by every message without metadata, so that none of them allocates a list. */
export const NO_METADATA: readonly MetadataEntry[] = Object.freeze([])

const encoder = new TextEncoder()
// A value that begins with U+FEFF keeps it.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/**
 * An ordered multimap with case-insensitive keys (kept in lower case, as the wire wants them sent) and
 * byte values. The wire allows a key to stand more than once; `get` and `getBytes` answer the last one,
 * `getAll` every one in order. Values are views, not copies: do not change bytes after handing them over.
 */
export class Metadata implements Iterable<[string, Uint8Array]> {
  /** Replaced, never changed in place: what was handed out stays as it was. Nothing is allocated while it is empty. */
  #entries: readonly MetadataEntry[] = NO_METADATA

  /** @param init pairs to start with; a plain object, an iterable of pairs or another Metadata (copied). */
  constructor (init?: MetadataInit) {
    if (init === undefined) return
    if (init instanceof Metadata) this.#entries = init.#entries.slice()
    else this.#entries = Array.from(isIterable(init) ? init : Object.entries(init), ([key, value]) => entryOf(key, value))
  }

  /** Wraps a list from the wire; keys are folded to lower case, the values stay views of the message. */
  static fromEntries (entries: readonly MetadataEntry[]): Metadata {
    const metadata = new Metadata()
    if (entries.length > 0) metadata.#entries = entries.map(({ key, value }) => ({ key: key.toLowerCase(), value }))
    return metadata
  }

  /** How many pairs there are, repeated keys counted each time. */
  get size (): number { return this.#entries.length }

  /** Whether the key stands at least once. */
  has (key: string): boolean { return this.getBytes(key) !== undefined }

  /** The last value of the key as UTF-8 text (invalid bytes become U+FFFD), or undefined. */
  get (key: string): string | undefined {
    const bytes = this.getBytes(key)
    return bytes === undefined ? undefined : decoder.decode(bytes)
  }

  /** The last value of the key as raw bytes, or undefined. A view: copy it before changing it. */
  getBytes (key: string): Uint8Array | undefined {
    const folded = key.toLowerCase()
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const entry = this.#entries[i]
      if (entry?.key === folded) return entry.value
    }
    return undefined
  }

  /** Every value of the key, in order. */
  getAll (key: string): Uint8Array[] {
    const folded = key.toLowerCase()
    return this.#entries.filter((entry) => entry.key === folded).map((entry) => entry.value)
  }

  /** Replaces all values of the key by this one. */
  set (key: string, value: string | Uint8Array): this {
    this.delete(key)
    return this.append(key, value)
  }

  /** Adds a value beside those the key already has. @throws TypeError for a value that is neither text nor bytes. */
  append (key: string, value: string | Uint8Array): this {
    this.#entries = [...this.#entries, entryOf(key, value)]
    return this
  }

  /** Removes all values of the key; answers whether there were any. */
  delete (key: string): boolean {
    const folded = key.toLowerCase()
    const before = this.#entries.length
    this.#entries = this.#entries.filter((entry) => entry.key !== folded)
    return this.#entries.length < before
  }

  /** Takes over every key of the other one, replacing what stood here under those keys. */
  merge (init: MetadataInit): this {
    const other = init instanceof Metadata ? init : new Metadata(init)
    const entries = other.#entries // of this one too, where it is merged with itself
    for (const { key } of entries) this.delete(key)
    this.#entries = [...this.#entries, ...entries]
    return this
  }

  /** The pairs as the wire takes them. Do not change the list. */
  toEntries (): readonly MetadataEntry[] {
    return this.#entries.length === 0 ? NO_METADATA : this.#entries
  }

  /** The pairs as an object of strings, for logs and tests; a repeated key shows its last value. */
  toObject (): Record<string, string> {
    const object: Record<string, string> = {}
    for (const { key, value } of this.#entries) object[key] = decoder.decode(value)
    return object
  }

  * [Symbol.iterator] (): Iterator<[string, Uint8Array]> {
    for (const { key, value } of this.#entries) yield [key, value]
  }
}

/** The entries of anything a caller may give as metadata; the shared empty list when there is nothing. */
export function metadataEntries (init: MetadataInit | undefined): readonly MetadataEntry[] {
  if (init === undefined) return NO_METADATA
  return (init instanceof Metadata ? init : new Metadata(init)).toEntries()
}

function entryOf (key: string, value: unknown): MetadataEntry {
  if (typeof value === 'string') return { key: key.toLowerCase(), value: encoder.encode(value) }
  if (value instanceof Uint8Array) return { key: key.toLowerCase(), value }
  throw new TypeError(`metadata ${key} must be a string or a Uint8Array`)
}

function isIterable (init: object): init is Iterable<readonly [string, string | Uint8Array]> {
  return Symbol.iterator in init
}
