/**
 * Zstd by the optional package zstd-napi, for Node 20. Of the packages that are kept up it is the one whose
 * output can be bounded while it is written (@mongodb-js/zstd 7 inflates without limit and writes no
 * checksum). Its functions are synchronous, so large payloads are worked on in slices.
 */
import { setImmediate } from 'node:timers/promises'
import { GrowingOutput } from './growing-output.js'
import type { ZstdEngine } from './node-zstd-engine.js'
import { SLICE_BYTES } from './turn.js'

/** The part of the package that is used. Declared here, because the package is optional: the build does without it. */
export interface ZstdBinding {
  readonly CCtx: new () => {
    setParameter (parameter: number, value: number): void
    setPledgedSrcSize (bytes: number): void
    compress2 (output: Uint8Array, input: Uint8Array): number
    /** Answers what is left to flush (0: done), bytes written, bytes read. */
    compressStream2 (output: Uint8Array, input: Uint8Array, end: number): [number, number, number]
  }
  readonly DCtx: new () => {
    setParameter (parameter: number, value: number): void
    decompress (output: Uint8Array, input: Uint8Array): number
    /** Answers what is missing (0: a frame ended), bytes written, bytes read. */
    decompressStream (output: Uint8Array, input: Uint8Array): [number, number, number]
  }
  readonly CParameter: { readonly compressionLevel: number, readonly checksumFlag: number, readonly windowLog: number }
  readonly DParameter: { readonly windowLogMax: number }
  readonly EndDirective: { readonly continue: number, readonly flush: number, readonly end: number }
  compressBound (bytes: number): number
  getFrameContentSize (frame: Uint8Array): number | null
}

const PACKAGE: string = 'zstd-napi/binding.js'

/** The package, loaded. Rejects when it is not installed or has no binary for this platform. */
export async function loadZstdBinding (): Promise<ZstdBinding> {
  // A CommonJS module, whose exports are all of its default.
  const { default: binding } = await import(PACKAGE) as { default: ZstdBinding }
  return binding
}

/** 32 MiB, as zstd-frame.ts allows. */
const WINDOW_LOG_MAX = 25

/** The engine. Rejects when the package is not installed or has no binary for this platform. */
export async function openNapiZstd (level: number): Promise<ZstdEngine> {
  const binding = await loadZstdBinding()
  const { CParameter, DParameter, EndDirective } = binding

  const openCompressor = (): InstanceType<ZstdBinding['CCtx']> => {
    const context = new binding.CCtx()
    context.setParameter(CParameter.compressionLevel, level)
    context.setParameter(CParameter.checksumFlag, 1)
    return context
  }
  // To set one up costs more than a small payload does.
  const compressor = openCompressor()
  const decompressor = new binding.DCtx()

  return {
    compressNow (bytes) {
      const output = Buffer.allocUnsafeSlow(binding.compressBound(bytes.length))
      return copy(output, compressor.compress2(output, bytes))
    },

    async compress (bytes) {
      const output = Buffer.allocUnsafeSlow(binding.compressBound(bytes.length))
      const context = openCompressor()
      context.setPledgedSrcSize(bytes.length)
      let read = 0
      let written = 0
      for (;;) {
        const end = Math.min(read + SLICE_BYTES, bytes.length)
        const isLast = end === bytes.length
        const [rest, produced, consumed] = context.compressStream2(output.subarray(written), bytes.subarray(read, end),
          isLast ? EndDirective.end : EndDirective.continue)
        read += consumed
        written += produced
        if (isLast && rest === 0) return copy(output, written)
        await setImmediate()
      }
    },

    decompressNow ({ bytes, maxOutput, isExact, limit }) {
      const output = Buffer.allocUnsafeSlow(Math.min(maxOutput, limit))
      try {
        return copy(output, decompressor.decompress(output, bytes))
      } catch (error) {
        // Too small for a size that the header states is a lie of the header.
        if (!isExact && error instanceof Error && error.message === TOO_SMALL) return undefined
        throw error
      }
    },

    async decompress ({ bytes, maxOutput, isExact, limit }) {
      const context = new binding.DCtx()
      context.setParameter(DParameter.windowLogMax, WINDOW_LOG_MAX)
      const output = new GrowingOutput(isExact ? maxOutput : bytes.length * 4, Math.min(maxOutput, limit))
      const probe = new Uint8Array(1)
      for (let read = 0; ;) {
        const space = output.reserve(SLICE_BYTES).subarray(output.length, output.length + SLICE_BYTES)
        // Where there is no space left the frame must end; a byte that still comes is one too many.
        const [rest, produced, consumed] = context.decompressStream(space.length > 0 ? space : probe, bytes.subarray(read))
        if (produced > space.length) return undefined
        output.length += produced
        read += consumed
        if (rest === 0) return output.result()
        if (produced + consumed === 0) throw new Error('no progress')
        await setImmediate()
      }
    }
  }
}

const TOO_SMALL = 'Destination buffer is too small'

/** In memory of its own, just large enough. */
function copy (output: Buffer<ArrayBuffer>, length: number): Uint8Array {
  return new Uint8Array(length === output.length ? output.buffer : output.buffer.slice(0, length))
}
