/**
 * What a Claw struct is: words of 8 bytes, headers, kinds of fields, and the tables (schemas) that describe
 * one (protocol 1.0, sections 2.1 to 2.3). The codec itself is struct-writer.ts and struct-reader.ts, which
 * structs there are is in schema.ts and service-schema.ts.
 *
 *     header:  bytes 0-1 field number | byte 2 type code | bytes 3-7 data: a value, a length or a size
 */

/** What a field holds: the type code it has on the wire, but for strings, which are written as bytes. */
export const Kind = {
  Bool: 1,
  U8: 6,
  U16: 7,
  U32: 8,
  /** A bigint. */
  U64: 9,
  /** Written with type code 13 like bytes, as Go does; read with either. */
  String: 12,
  Bytes: 13,
  Struct: 14,
  /** A list of structs. */
  Structs: 54
} as const
export type Kind = typeof Kind[keyof typeof Kind]

/** The fields that a schema for values of type T may have: names that T has, kinds that fit their types. */
export type FieldOf<T> = { [K in keyof T & string]: { readonly name: K } & KindFor<NonNullable<T[K]>> }[keyof T & string]

type KindFor<Value> =
  [Value] extends [boolean] ? { readonly kind: typeof Kind.Bool } :
      [Value] extends [number] ? { readonly kind: typeof Kind.U8 | typeof Kind.U16 | typeof Kind.U32 } :
          [Value] extends [bigint] ? { readonly kind: typeof Kind.U64 } :
              [Value] extends [string] ? { readonly kind: typeof Kind.String } :
                  [Value] extends [Uint8Array] ? { readonly kind: typeof Kind.Bytes } :
                      [Value] extends [ReadonlyArray<infer Item extends object>] ? { readonly kind: typeof Kind.Structs, readonly schema: Schema<Item> } :
                          [Value] extends [object] ? StructKind<Value> : never

interface StructKind<Value extends object> {
  readonly kind: typeof Kind.Struct
  readonly schema: Schema<Value>
  /** Presence counts: a struct without content is written as its bare header, undefined is absent. */
  readonly keepEmpty?: true
}

/** A field as the codec walks it, without knowing T; FieldOf checks the tables where they are written. */
export interface AnyField {
  readonly name: string
  readonly kind: Kind
  readonly schema?: AnySchema
  readonly keepEmpty?: true
}

/** A {@link Schema} as the codec walks it. */
export interface AnySchema {
  /** For error texts. */
  readonly name: string
  /** The value whose every field is absent. */
  readonly create: () => object
  /** In the order of their numbers, which run from 0 without gaps. */
  readonly fields: readonly AnyField[]
  /** As a root, the struct ends with the word that names the fields present (section 2.4). */
  readonly isSet?: true
}

/** How values of type T stand on the wire. */
export interface Schema<T extends object> extends AnySchema {
  readonly create: () => T
  readonly fields: ReadonlyArray<FieldOf<T> & AnyField>
}

/** A value as the codec walks it. */
export type AnyValue = Record<string, unknown>

/** Every header, and every word of which a struct is made. */
export const WORD = 8

/** Rounds up to whole words. */
export function padded (length: number): number {
  return length + 7 - (length + 7) % WORD
}

/** Stores a header. `data` is below 2^32: longer values do not fit a writer. */
export function putHeader (view: DataView, at: number, number: number, type: number, data: number): void {
  view.setUint32(at, number | type << 16 | data << 24, true)
  view.setUint32(at + 4, data >>> 8, true)
}
