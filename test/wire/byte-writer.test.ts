import t from 'tap'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import type { ByteAllocator } from '../../lib/wire/byte-writer.js'

/** Hands out dirty memory and counts what is out. */
function countingAllocator (): ByteAllocator & { out: Set<ArrayBufferLike>, sizes: number[] } {
  const out = new Set<ArrayBufferLike>()
  const sizes: number[] = []
  return {
    out,
    sizes,
    allocate: (minBytes) => {
      sizes.push(minBytes)
      const bytes = new Uint8Array(minBytes).fill(0xee)
      out.add(bytes.buffer)
      return bytes
    },
    release: (bytes) => {
      if (!out.delete(bytes.buffer)) throw new Error('released what is not out')
    }
  }
}

function write (writer: ByteWriter, ...values: number[]): void {
  const at = writer.reserve(values.length)
  writer.bytes.set(values, at)
  writer.position += values.length
}

t.test('begins with as much as was written the last time, within reason', t => {
  const asked: number[] = []
  const writer = new ByteWriter({ allocate: (bytes) => { asked.push(bytes); return new Uint8Array(bytes) }, release: () => {} })
  for (const bytes of [1000, 10, 4_000_000, 10, 10]) {
    writer.position = writer.reserve(bytes) + bytes
    writer.take()
  }
  t.same(asked, [1000, 1000, 4_000_000, 64 * 1024, 10])
  t.end()
})

t.test('allocates nothing before the first reserve', t => {
  const allocator = countingAllocator()
  const writer = new ByteWriter(allocator)
  t.equal(writer.take().length, 0)
  writer.discard()
  t.strictSame(allocator.sizes, [])
  t.end()
})

t.test('grows by doubling, copies what is written and returns the old memory', t => {
  const allocator = countingAllocator()
  const writer = new ByteWriter(allocator)
  write(writer, 1, 2, 3, 4)
  write(writer, 5)
  write(writer, ...new Array<number>(20).fill(6))
  t.strictSame(allocator.sizes, [4, 8, 25])
  t.equal(allocator.out.size, 1)
  t.strictSame(writer.take(), Uint8Array.of(1, 2, 3, 4, 5, ...new Array<number>(20).fill(6)))
  t.end()
})

t.test('view and bytes are the same memory, little-endian at a glance', t => {
  const writer = new ByteWriter({ allocate: () => new Uint8Array(new ArrayBuffer(32), 8, 16), release: () => {} })
  const at = writer.reserve(8)
  writer.view.setUint32(at, 0x04030201, true)
  writer.position += 4
  t.strictSame(writer.take(), Uint8Array.of(1, 2, 3, 4))
  t.end()
})

t.test('take hands over, and the next reserve uses new memory', t => {
  const allocator = countingAllocator()
  const writer = new ByteWriter(allocator)
  write(writer, 1, 2)
  const first = writer.take()
  t.equal(writer.position, 0)
  write(writer, 9, 9)
  t.strictSame(first, Uint8Array.of(1, 2))
  t.equal(allocator.out.size, 2)
  allocator.release(first)
  writer.discard()
  t.equal(allocator.out.size, 0)
  t.end()
})

t.test('lowering the position unwrites', t => {
  const writer = new ByteWriter()
  write(writer, 1, 2, 3)
  writer.position = 1
  write(writer, 4)
  t.strictSame(writer.take(), Uint8Array.of(1, 4))
  t.end()
})

t.test('refuses what 32 bits cannot count', t => {
  t.throws(() => new ByteWriter().reserve(2 ** 32), RangeError)
  t.end()
})
