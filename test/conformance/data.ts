// The recorded data as values: hex to bytes, and the JSON of a struct to what its schema makes of it.
import { readFileSync } from 'node:fs'
import { Kind } from '../../lib/wire/struct.js'
import type { AnySchema } from '../../lib/wire/struct.js'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

export function readJson<T> (name: string): T {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as T
}

export function fromHex (hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

export function toHex (bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Only the fields that the JSON has: what an encoder is given. */
export function partialFromJson (schema: AnySchema, json: Json): object {
  return fill({}, schema, json, partialFromJson)
}

/** With the zero value of every other field: what a decoder gives. */
export function wholeFromJson (schema: AnySchema, json: Json): object {
  return fill(schema.create(), schema, json, wholeFromJson)
}

function fill (value: object, schema: AnySchema, json: Json, nested: (schema: AnySchema, json: Json) => object): object {
  for (const [name, content] of Object.entries(json as { [key: string]: Json })) {
    const field = schema.fields.find((field) => field.name === name)
    if (field === undefined) throw new Error(`${schema.name} has no ${name}`)
    const convert = (): unknown => {
      switch (field.kind) {
        case Kind.U64: return BigInt(content as string)
        case Kind.Bytes: return fromHex(content as string)
        case Kind.Struct: return nested(field.schema as AnySchema, content)
        case Kind.Structs: return (content as Json[]).map((item) => nested(field.schema as AnySchema, item))
        default: return content
      }
    }
    Object.assign(value, { [name]: convert() })
  }
  return value
}
