// Packing as the specification tells it, word by word over plain lists: slow, and too simple to be wrong.

/** The pack block around some words. */
export function naivePack (bytes: Uint8Array): number[] {
  if (bytes.length === 0) return []
  const words: number[][] = []
  for (let at = 0; at < bytes.length; at += 8) words.push([...bytes.subarray(at, at + 8)])
  const zeros = (word: number[] | undefined): number => word === undefined ? -1 : word.filter((byte) => byte === 0).length

  const data: number[] = []
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    data.push(word.reduce((tag, byte, i) => tag + (byte === 0 ? 0 : 2 ** i), 0), ...word.filter((byte) => byte !== 0))
    const run: number[][] = []
    const goesOn = (): boolean => zeros(word) === 8 ? zeros(words[0]) === 8 : zeros(word) === 0 && [0, 1].includes(zeros(words[0]))
    while (run.length < 255 && goesOn()) run.push(words.shift() as number[])
    if (zeros(word) === 8) data.push(run.length)
    if (zeros(word) === 0) data.push(run.length, ...run.flat())
  }
  return [...u64(bytes.length), ...u64(data.length), ...data]
}

/** A number as eight bytes, the lowest first. */
export function u64 (value: number): number[] {
  return [...new Uint8Array(BigUint64Array.of(BigInt(value)).buffer)]
}
