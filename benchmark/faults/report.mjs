/** What was measured, as text. Knows no process. */
const ms = (value) => Number.isFinite(value) ? value.toFixed(2) : '-'
const share = (value) => `${(100 * value).toFixed(0)} %`
const mib = (bytes) => (bytes / 1024 / 1024).toFixed(1)

function count (value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)}k`
  return value < 10 ? value.toFixed(1) : value.toFixed(0)
}

/** Columns of numbers to the right, the first and the last to the left. */
function aligned (rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  const isText = (i) => i === 0 || i === widths.length - 1
  return rows.map((row) => row.map((cell, i) => isText(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join('  ').trimEnd()).join('\n')
}

/** A line for each phase; ratios are to the median of the first one. */
export function phaseTable (phases) {
  const calm = phases[0]?.latency.median
  const head = ['phase', 'median ms', 'p99 ms', 'max ms', 'to calm', 'echoes', 'lost', 'server busy', 'own delay ms', 'attack']
  return aligned([head, ...phases.map(({ title, unit, latency, delay, lost, busy, attack }) => [
    title, ms(latency.median), ms(latency.p99), ms(latency.max), (latency.median / calm).toFixed(2), String(latency.count), String(lost), share(busy), ms(delay.median),
    unit === undefined ? '' : `${count(attack.rate)} ${unit}/s`
  ])])
}

/** What the attackers were answered. */
export function answersText (phases) {
  const lines = phases.filter(({ attack }) => attack !== undefined).map(({ title, attack }) => {
    const answers = Object.entries(attack.answers).sort(([, one], [, other]) => other - one).map(([label, times]) => `${times} ${label}`)
    return [title, `${attack.connections} connections; ${answers.length === 0 ? 'no answer' : answers.join(', ')}`]
  })
  return `answered to the attackers\n${lines.length === 0 ? 'nothing' : aligned(lines)}`
}

export function memoryText (memory, drain) {
  const [first] = memory
  const lines = memory.map(({ when, heap, external, rss, connections, sessions, running }) => [
    when, `heap ${mib(heap)} MiB`, `external ${mib(external)} MiB`, `RSS ${mib(rss)} MiB`,
    `heap + external to start ${((heap + external) / (first.heap + first.external)).toFixed(2)}`, `${connections} connections, ${sessions} sessions, ${running} handlers`
  ])
  const shutdown = drain === undefined ? '' : `\nshutdown in the middle: ${drain.ms.toFixed(0)} ms, ${drain.unanswered} echoes missing`
  return `server after garbage collection\n${lines.length === 0 ? 'not measured' : aligned(lines)}${shutdown}`
}
