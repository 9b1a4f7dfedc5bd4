/** Payloads of several kinds, the same in every run, and what a decompression of them may come to. */
import { Category, ErrorCode, RpcError } from '../../lib/errors.js'
import type { Compressor } from '../../types/compressor.js'

/** Numbers from 0 to 2^32 - 1. */
export function randomNumbers (seed: number): () => number {
  return () => {
    seed = (seed + 0x9e3779b9) | 0
    let value = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad)
    value = Math.imul(value ^ (value >>> 15), 0x735a2d97)
    return (value ^ (value >>> 15)) >>> 0
  }
}

export function noise (length: number, seed = 1): Uint8Array {
  const next = randomNumbers(seed)
  return Uint8Array.from({ length }, next)
}

export function json (length: number, seed = 1): Uint8Array {
  const next = randomNumbers(seed)
  let text = ''
  for (let id = 1; text.length < length; id++) {
    text += `{"id":${id},"name":"user${next() % 500}","email":"u${next() % 500}@example.com","active":${next() % 2 === 0}},`
  }
  return new TextEncoder().encode(text.slice(0, length))
}

/** Long runs with single bytes between them. */
export function sparse (length: number, seed = 1): Uint8Array {
  const next = randomNumbers(seed)
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += next() % 300) bytes[at] = next()
  return bytes
}

/** By name; lengths around every threshold of the codecs. */
export const PAYLOADS: Record<string, Uint8Array> = {
  empty: new Uint8Array(0),
  'one byte': new Uint8Array([7]),
  'fifteen bytes': noise(15),
  'a short text': new TextEncoder().encode('abcabcabcabcabcabcd'),
  'zeros, 100': new Uint8Array(100),
  'zeros, 65,535': new Uint8Array(65_535),
  'zeros, 65,536': new Uint8Array(65_536),
  'zeros, 65,537': new Uint8Array(65_537),
  'zeros, 3 MiB': new Uint8Array(3 << 20),
  'noise, 1 KiB': noise(1024),
  'noise, 32 KiB': noise(32 * 1024),
  'noise, 600 KiB': noise(600 * 1024),
  'json, 1 KiB': json(1024),
  'json, 32 KiB - 1': json(32 * 1024 - 1),
  'json, 64 KiB': json(64 * 1024),
  'json, 256 KiB + 1': json(256 * 1024 + 1),
  'json, 2 MiB': json(2 << 20),
  'sparse, 400 KiB': sparse(400 * 1024)
}

/** The bytes, or the code of the error, which must be one of the two that the contract allows. */
export async function outcome (compressor: Compressor, bytes: Uint8Array, maxBytes: number): Promise<Uint8Array | string> {
  try {
    return await compressor.decompress(bytes, maxBytes)
  } catch (error) {
    if (!RpcError.is(error)) throw error
    const category = error.code === ErrorCode.CORRUPT_PAYLOAD ? Category.InvalidArgument : Category.ResourceExhausted
    if (error.category !== category) throw error
    return error.code
  }
}

export function areSame (a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** As it comes off a socket: somewhere inside a larger buffer. */
export function inTheMiddle (bytes: Uint8Array): Uint8Array {
  const around = new Uint8Array(bytes.length + 23).fill(0xa5)
  around.set(bytes, 11)
  return around.subarray(11, 11 + bytes.length)
}

export function join (...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

export function hex (text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}
