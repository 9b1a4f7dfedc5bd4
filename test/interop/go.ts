// Go programs: built, run, read line by line (each line is JSON), never left behind.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export const peerDir = fileURLToPath(new URL('peer', import.meta.url))

/** Runs a program to its end; answers all it printed. */
export async function run (command: string, args: readonly string[], cwd: string): Promise<{ code: number | null, output: string }> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { output += text })
  const [code] = await once(child, 'close') as [number | null]
  return { code, output }
}

/** Builds the programs of a Go module; answers the folder they are in, which goes with the test. */
export async function build (t: Test, module: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'claw-interop-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const { code, output } = await run('go', ['build', '-o', folder, './...'], module)
  if (code !== 0) throw new Error(`go build failed:\n${output}`)
  return folder
}

/** What `call` prints: an event, or the end of a scenario. `skipped` names the defect that makes it impossible. */
export interface Line {
  event?: string
  scenario?: string
  skipped?: string
  error?: string
  result?: Record<string, unknown>
  tcp?: string
  ws?: string
  shutdown?: boolean
}

export class GoProgram {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterableIterator<string>
  readonly #closed: Promise<unknown>
  /** All that it printed to standard error. */
  errors = ''

  constructor (t: Test, file: string, args: readonly string[]) {
    const child = this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#closed = once(child, 'close')
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]() as AsyncIterableIterator<string>
    child.stderr.setEncoding('utf8').on('data', (text: string) => { this.errors += text })
    t.teardown(async () => {
      child.kill('SIGKILL')
      await this.#closed
    })
  }

  /** The next line; throws with its errors when there is none. */
  async line (): Promise<Line> {
    const { value, done } = await this.#lines.next() as IteratorResult<string, undefined>
    if (done === true) throw new Error(`the Go program ended: ${this.errors}`)
    return JSON.parse(value) as Line
  }

  /** Writes a line to its standard input. */
  say (text: string): void { this.#child.stdin?.write(`${text}\n`) }
}
