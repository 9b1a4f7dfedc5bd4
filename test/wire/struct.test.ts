// The two halves of the table-driven codec, by schemas made for the purpose. Messages: encode and decode.
import t from 'tap'
import { ErrorCode } from '../../lib/errors.js'
import { NO_BYTES } from '../../lib/wire/message.js'
import { MSG } from '../../lib/wire/schema.js'
import { Kind } from '../../lib/wire/struct.js'
import type { Schema } from '../../lib/wire/struct.js'
import { decodeStruct } from '../../lib/wire/struct-reader.js'
import { encodeStruct } from '../../lib/wire/struct-writer.js'
import { fromHex, toHex } from '../conformance/data.js'

interface Child { number: number }
interface Parent { flag: boolean, small: number, middle: number, large: number, huge: bigint, text: string, bytes: Uint8Array, child: Child | undefined, kept: Child | undefined, list: readonly Child[] }

const CHILD: Schema<Child> = { name: 'Child', create: () => ({ number: 0 }), fields: [{ name: 'number', kind: Kind.U32 }] }
const PARENT: Schema<Parent> = {
  name: 'Parent',
  create: () => ({ flag: false, small: 0, middle: 0, large: 0, huge: 0n, text: '', bytes: NO_BYTES, child: undefined, kept: undefined, list: [] }),
  isSet: true,
  fields: [
    { name: 'flag', kind: Kind.Bool },
    { name: 'small', kind: Kind.U8 },
    { name: 'middle', kind: Kind.U16 },
    { name: 'large', kind: Kind.U32 },
    { name: 'huge', kind: Kind.U64 },
    { name: 'text', kind: Kind.String },
    { name: 'bytes', kind: Kind.Bytes },
    { name: 'child', kind: Kind.Struct, schema: CHILD },
    { name: 'kept', kind: Kind.Struct, schema: CHILD, keepEmpty: true },
    { name: 'list', kind: Kind.Structs, schema: CHILD }
  ]
}

t.test('what is zero is left out, an empty child too, unless it is kept', t => {
  const zero = { ...PARENT.create(), child: { number: 0 }, kept: { number: 0 } }
  t.equal(toHex(encodeStruct(PARENT, zero)), '00000e180000000008000e08000000008002000000000000')
  t.equal(toHex(encodeStruct(PARENT, {})), '00000e10000000008000000000000000')
  t.end()
})

t.test('values are cut to their width in both directions', t => {
  t.equal(toHex(encodeStruct(PARENT, { small: 0x1ff, middle: 0x10000, large: -1, huge: -1n })),
    toHex(fromHex('00000e3000000000 010006ff00000000 030008ffffffff00 0400090000000000 ffffffffffffffff 9a00000000000000')))
  const wide = decodeStruct(PARENT, fromHex('00000e2800000000 000001000a000000 010006ff01000000 020007ffffff0000 030008ffffffffff'))
  t.match(wide, { flag: true, small: 0xff, middle: 0xffff, large: 0xffffffff })
  t.end()
})

t.test('bytes are views of the input, and of the right kind for a Buffer', t => {
  const input = Buffer.from(encodeStruct(PARENT, { bytes: Uint8Array.of(1, 2, 3) }))
  const { bytes } = decodeStruct(PARENT, input)
  t.equal(bytes.constructor, Uint8Array)
  t.equal(bytes.buffer, input.buffer)
  input[16] = 9
  t.strictSame(bytes, Uint8Array.of(9, 2, 3))
  t.end()
})

t.test('the IsSet word goes on into a second byte after seven fields', t => {
  t.equal(toHex(encodeStruct(PARENT, { flag: true, child: { number: 1 } })).slice(-16), '8101000000000000')
  t.ok(MSG.fields.length <= 14, 'more fields than two bytes hold would end old readers')
  t.end()
})

t.test('a range of a larger array', t => {
  const bytes = fromHex('ffff 00000e1000000000 00000807000000 00 ff')
  t.strictSame(decodeStruct(CHILD, bytes, 2, 18), { number: 7 })
  t.end()
})

const UNKNOWN = {
  bool: '63000101 00000000',
  int64: '63000500 00000000 0000000000000000',
  float32: '63000aff ffffffff',
  string: '63000c09 00000000 1111111111111111 2222222222222222',
  any: '63000f07 08000000 0000000000000000',
  'list of bools': '6300290a 00000000 ff03000000000000',
  'list of u8': '63002b10 00000000 1111111111111111',
  map: '63003700 00100000 0000000000000000',
  'list of structs': '63003608 00000000',
  'type code of the future': '6300c810 00000000 ffffffffffffffff',
  'type code of the future without size': '6300c800 00000000'
}

t.test('fields of unknown number are skipped by their size', t => {
  for (const [name, hex] of Object.entries(UNKNOWN)) {
    const field = fromHex(hex)
    const bytes = fromHex(`00000e${(16 + field.length).toString(16)}00000000 ${hex} 0000080700000000`)
    t.strictSame(decodeStruct(CHILD, bytes), { number: 7 }, name)
  }
  t.end()
})

const MALFORMED = {
  'nothing at all': '',
  'half a header': '00000e08',
  'size beyond the bytes': '00000e1000000000',
  'size short of the bytes': '00000e0800000000 0000080700000000',
  'root of another type': '0000361000000000 0000080700000000',
  'u32 with the type of u16': '00000e1000000000 0000070700000000',
  'u32 with the type of bytes': '00000e1000000000 00000d0000000000',
  'unknown string beyond the end': '00000e1800000000 63000d0900000000 0000000000000000',
  'unknown string of 2^40-1 bytes': '00000e1000000000 63000dffffffffff',
  'unknown struct of size 0': '00000e1000000000 63000e0000000000',
  'unknown struct of size 7': '00000e1000000000 63000e0700000000',
  'unknown list of size 0': '00000e1000000000 6300360000000000',
  'unknown list of size 12': '00000e1800000000 6300360c00000000 0000000000000000',
  'unknown map of size 0': '00000e1000000000 6300370000000000',
  'unknown u64 without its value': '00000e1000000000 6300090000000000',
  'unknown type code of size 12': '00000e1800000000 6300c80c00000000 0000000000000000'
}

t.test('everything else is malformed', t => {
  for (const [name, hex] of Object.entries(MALFORMED)) {
    t.throws(() => decodeStruct(CHILD, fromHex(hex)), { name: 'ProtocolError', code: ErrorCode.MALFORMED, scope: 'connection' }, name)
  }
  const lists = {
    'item of another type': '00000d0800000000',
    'item ended by a word of type 0': '0000000800000000',
    'item of size 0': '00000e0000000000',
    'item beyond its list': '00000e1000000000',
    'item of size 12': '00000e0c00000000'
  }
  for (const [name, hex] of Object.entries(lists)) {
    t.throws(() => decodeStruct(PARENT, fromHex(`00000e1800000000 0900361000000000 ${hex}`)), { code: ErrorCode.MALFORMED }, name)
  }
  t.strictSame(decodeStruct(PARENT, fromHex('00000e1000000000 0900360800000000')).list, [], 'a list may be empty')
  t.end()
})
