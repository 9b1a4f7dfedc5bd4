// Runs tap, keeps its TAP text in .tap/<name>.tap, and tells the totals in one line. On a terminal tap's own live
// reporter is shown; elsewhere only the failures, so that a log stays readable.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
const tapPackage = createRequire(import.meta.url).resolve('tap/package.json')
const tap = join(dirname(tapPackage), 'dist', 'esm', 'run.mjs')

/** Runs tap with `args`; answers { passed, failed, skipped, code } and leaves the same in .tap/<name>.json. */
export async function runTap (name, args, env = {}) {
  const tapFile = join(root, '.tap', `${name}.tap`)
  mkdirSync(join(root, '.tap'), { recursive: true })
  rmSync(tapFile, { force: true })

  const reporter = process.stdout.isTTY ? 'base' : 'silent'
  const child = spawn(process.execPath, [tap, 'run', `--reporter=${reporter}`, `--output-file=${tapFile}`, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit']
  })
  const code = await new Promise(resolve => child.on('close', code => resolve(code ?? 1)))

  let text = ''
  try { text = readFileSync(tapFile, 'utf8') } catch {}
  const result = tally(text)
  if (code !== 0 && result.failed === 0) {
    result.failed = 1
    result.failures.push(`tap ended with code ${code} without a failed test (see ${tapFile})`)
  }
  if (code === 0 && result.passed + result.failed === 0) {
    result.failed = 1
    result.failures.push('tap ran no assertion at all')
  }

  if (!process.stdout.isTTY && result.failures.length > 0) {
    for (const failure of result.failures) console.log(`\n${failure}`)
    console.log('\nOne file with all it prints: npm run test:one -- <file>')
  }
  const { passed, failed, skipped } = result
  console.log(`\n${name}: ${passed} passed, ${failed} failed, ${skipped} skipped`)
  const summary = { passed, failed, skipped, code: failed > 0 ? code || 1 : code }
  writeFileSync(join(root, '.tap', `${name}.json`), JSON.stringify(summary))
  return summary
}

/**
 * Counts the assertions of a TAP 14 text. A test point that closes a subtest is a summary and not counted, unless it
 * failed with nothing failing inside it (a crash, a timeout, a missed plan).
 */
export function tally (text) {
  const result = { passed: 0, failed: 0, skipped: 0, failures: [] }
  const failuresInside = [] // by depth: failures since the last test point of the depth above
  const sawInside = []
  const titles = []
  let yamlIndent = -1
  let open // the failure whose diagnostics follow

  for (const line of text.split('\n')) {
    const indent = line.length - line.trimStart().length
    const content = line.trim()

    if (yamlIndent >= 0) {
      if (indent === yamlIndent && content === '...') {
        yamlIndent = -1
        open = undefined
      } else if (open !== undefined) {
        result.failures[open] += `\n${line}`
      }
      continue
    }
    if (content === '---') {
      yamlIndent = indent
      continue
    }

    const depth = Math.floor(indent / 4)
    if (content.startsWith('# Subtest: ')) titles[depth] = content.slice('# Subtest: '.length)
    if (indent === 0 && content.startsWith('Bail out!')) {
      result.failed++
      result.failures.push(content)
    }

    const point = /^(not )?ok\b(.*)$/.exec(content)
    if (point === null || indent % 4 !== 0) continue

    const bad = point[1] !== undefined
    const pardoned = /\s#\s*(skip|todo)\b/i.test(point[2])
    const isSummary = sawInside[depth + 1] === true
    const failedInside = failuresInside[depth + 1] ?? 0
    sawInside.length = failuresInside.length = depth + 1
    sawInside[depth] = true
    failuresInside[depth] = (failuresInside[depth] ?? 0) + failedInside
    open = undefined

    if (pardoned) {
      result.skipped++
    } else if (bad && (!isSummary || failedInside === 0)) {
      result.failed++
      failuresInside[depth]++
      open = result.failures.push([...titles.slice(0, depth), content].join('\n  > ')) - 1
    } else if (!bad && !isSummary) {
      result.passed++
    }
  }

  return result
}
