/** A Node program as a child process: read line by line, told to stop by a signal, never left behind. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import type { Test } from 'tap'

export class Program {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterableIterator<string>
  readonly #closed: Promise<unknown[]>
  /** All that it printed to standard error. */
  errors = ''

  /** Starts `node file ...args`; ends with the test at the latest. */
  constructor (t: Test, file: string, args: readonly string[] = [], { cwd, env = {} }: { cwd?: string, env?: Record<string, string> } = {}) {
    // Without the coverage and loader that the tests themselves run with: it is a program as users start it.
    const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...own } = process.env
    const child = this.#child = spawn(process.execPath, [file, ...args], { cwd, env: { ...own, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#closed = once(child, 'close')
    const lines: Interface = createInterface({ input: child.stdout })
    this.#lines = lines[Symbol.asyncIterator]() as AsyncIterableIterator<string>
    child.stderr.setEncoding('utf8').on('data', (text: string) => { this.errors += text })
    t.teardown(async () => {
      child.kill('SIGKILL')
      await this.#closed
    })
  }

  /** The next line it prints; throws with its errors when there is none. */
  async line (): Promise<string> {
    const { value, done } = await this.#lines.next() as IteratorResult<string, undefined>
    if (done === true) throw new Error(`it ended: ${this.errors}`)
    return value
  }

  /** All lines that are left, once it has ended by itself, and how it ended. */
  async end (): Promise<{ lines: string[], code: number | null, signal: string | null }> {
    const lines: string[] = []
    for await (const line of this.#lines) lines.push(line)
    const [code, signal] = await this.#closed as [number | null, string | null]
    return { lines, code, signal }
  }

  kill (signal: NodeJS.Signals): void { this.#child.kill(signal) }
}
