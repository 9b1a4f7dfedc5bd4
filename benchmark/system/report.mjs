/** From the measurements of all rounds to tables. Knows no process. */
import { readFileSync, writeFileSync } from 'node:fs'
import { CELLS } from './cells.mjs'
import { BASE, BASE_AGAIN, OURS } from './systems.mjs'

const START = '<!-- results: written by npm run bench:system -- --markdown benchmark/README.md -->'
const END = '<!-- end of results -->'

function median (values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Each number of each cell of each system: the median over the rounds, and of its ratios to the base in the same round. */
export function summarize (results) {
  const base = results.systems[BASE]?.cells ?? {}
  const summary = {}
  for (const [id, { cells }] of Object.entries(results.systems)) {
    summary[id] = {}
    for (const [cell, rounds] of Object.entries(cells)) {
      const numbers = summary[id][cell] = {}
      for (const name of Object.keys(rounds[0])) {
        if (name === 'round') continue
        const ratios = rounds.map((measured) => measured[name] / base[cell]?.find(({ round }) => round === measured.round)?.[name]).filter(Number.isFinite)
        numbers[name] = { median: median(rounds.map((measured) => measured[name])), ratio: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) }
      }
    }
  }
  return summary
}

// --- text

const fixed = (value, digits = 1) => Number.isFinite(value) ? value.toFixed(digits) : ''
const ratio = (value) => fixed(value, value >= 10 ? 1 : 2)

function short (value) {
  if (!Number.isFinite(value)) return ''
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)}M`
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)}k`
  return value >= 1e3 ? `${(value / 1e3).toFixed(1)}k` : value.toFixed(0)
}

function microseconds (value) {
  if (!Number.isFinite(value)) return ''
  return value >= 1000 ? `${fixed(value / 1000, value >= 10_000 ? 0 : 1)} ms` : `${fixed(value, 0)} us`
}

function table (head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map((_, i) => i === 0 ? '---' : '---:').join('|')}|`, ...rows.map(line), '']
}

function ratioTable (results, summary) {
  const columns = Object.keys(summary).filter((id) => id !== BASE)
  const cells = CELLS.filter(({ id, group }) => (group === 'unary' || group === 'stream') && columns.some((column) => summary[column][id] !== undefined))
  if (cells.length === 0) return []
  const rows = cells.map(({ id, title, goal, goalUnmasked }) => {
    const wanted = goalUnmasked === undefined ? String(goal) : `${goal} (${goalUnmasked} unmasked)`
    return [title, wanted, ...columns.map((column) => ratio(summary[column][id]?.rate.ratio))]
  })
  return [`Ratio to raw \`ws\` of the same round, median of ${results.meta.rounds} rounds; more is better.`, '',
    ...table(['one connection', 'goal', ...columns.map((id) => id === OURS ? `**${id}**` : id)], rows)]
}

function rateTable (summary) {
  const ids = [BASE, OURS].filter((id) => summary[id] !== undefined)
  const cells = CELLS.filter(({ id, group }) => (group === 'unary' || group === 'stream') && ids.some((system) => summary[system][id] !== undefined))
  if (cells.length === 0) return []
  const of = (system, { id, group }) => {
    const measured = summary[system][id]
    if (measured === undefined) return ['', '', '']
    return [short(measured.rate.median), group === 'unary' ? `${microseconds(measured.p50.median)} / ${microseconds(measured.p99.median)}` : '',
      `${fixed(measured.serverCpu.median, 2)} / ${fixed(measured.clientCpu.median, 2)}`]
  }
  return ['Calls or messages a second, latency, and CPU time for each on either side.', '',
    ...table(['one connection', ...ids.flatMap((id) => [`${id} /s`, 'p50 / p99', 'CPU us server / client'])], cells.map((cell) => [cell.title, ...ids.flatMap((id) => of(id, cell))]))]
}

function connectionTable (results, summary) {
  const rows = Object.entries(summary).filter(([, { conn }]) => conn !== undefined).map(([id, { conn }]) => [id,
    fixed(conn.rss.median / 1024), fixed(conn.heap.median / 1024), fixed(conn.clientRss.median / 1024), fixed(conn.ms.median, 0), ratio(conn.ms.ratio), `${fixed(conn.p50.median)} / ${fixed(conn.p99.median)}`])
  if (rows.length === 0) return []
  const { goal, goalKiB } = CELLS.find(({ id }) => id === 'conn')
  const { connections, timedConnections } = results.meta
  return [`${connections} idle connections, one call made on each (goal ${goalKiB} KiB); ${timedConnections} connects with a first call, 50 at a time (goal ${goal} times raw ws).`, '',
    ...table(['system', 'server RSS KiB each', 'of it JS heap', 'client RSS KiB each', 'connects, ms', 'ratio', 'p50 / p99 ms'], rows)]
}

function stallTable (summary) {
  const rows = Object.entries(summary).filter(([, { stall }]) => stall !== undefined)
    .map(([id, { stall }]) => [id, fixed(stall.produced.median / 2 ** 20), fixed(stall.held.median / 2 ** 20), fixed(stall.rss.median / 2 ** 20, 0)])
  if (rows.length === 0) return []
  return ['600 MiB offered as a server stream of 64 KiB messages to a client whose socket is not read, MiB. Goal: one window, 0.25.', '',
    ...table(['system', 'produced', 'held (heap and buffers)', 'RSS grew by'], rows)]
}

function besideTable (summary) {
  const pairOf = (hol, name) => `${microseconds(hol[`${name}50`].median)} / ${microseconds(hol[`${name}99`].median)}`
  const rows = Object.entries(summary).filter(([, { hol }]) => hol !== undefined)
    .map(([id, { hol }]) => [id, pairOf(hol, 'alone'), pairOf(hol, 'beside'), fixed(hol.loadRate.median / 1e6, 0)])
  if (rows.length === 0) return []
  return ['Calls of 16 bytes, one at a time, alone and while a server stream of 4 MiB messages runs on the same connection.', '',
    ...table(['system', 'alone, p50 / p99', 'beside, p50 / p99', 'stream MB/s'], rows)]
}

/** All tables as Markdown, with what they were made on. */
export function toMarkdown (results) {
  const summary = summarize(results)
  const { meta, systems, missing, failed } = results
  const list = Object.entries(systems).filter(([id]) => id !== BASE_AGAIN)
  return [
    `Node ${meta.node}, ${meta.cpu}, ${meta.cores} cores, ${meta.date.slice(0, 10)}; ${meta.rounds} rounds${meta.isQuick ? ', quick' : ''}, ${meta.seconds} s; server and client ${meta.isPinned ? 'pinned to cores 0 and 1' : 'not pinned'}; load before ${fixed(meta.load)}.`,
    '',
    ...ratioTable(results, summary),
    ...rateTable(summary),
    ...connectionTable(results, summary),
    ...stallTable(summary),
    ...besideTable(summary),
    ...list.map(([id, { versions, notes }]) => `- ${id}: ${versions}; ${notes}.`),
    ...missing.map((id) => `- ${id}: not installed.`),
    ...failed.map(({ system, what, error }) => `- **${system} failed** (${what}): ${error.split('\n')[0]}`),
    ''
  ].join('\n')
}

/** Puts the tables between the marks of a file. */
export function writeInto (path, markdown) {
  const text = readFileSync(path, 'utf8')
  const from = text.indexOf(START)
  const to = text.indexOf(END)
  if (from === -1 || to < from) throw new Error(`${path} has no place for the results: ${START} ... ${END}`)
  writeFileSync(path, `${text.slice(0, from)}${START}\n\n${markdown}\n${text.slice(to)}`)
}
