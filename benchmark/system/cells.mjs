/** What is measured, and what we want of it. The only list of cells: runner, report and profile read it. */

const KIB = 1024
const MIB = 1024 * KIB

/**
 * `goal` is our ratio to raw `ws` in the same round; where `lower` is set less is better. `warm` is how long a cell is
 * run before its first measurement, as a share of a second.
 */
export const CELLS = [
  { id: 'u16c1', group: 'unary', title: 'unary 16 B, 1 in flight', size: 16, inFlight: 1, goal: 0.95, warm: 0.3 },
  { id: 'u16c64', group: 'unary', title: 'unary 16 B, 64 in flight', size: 16, inFlight: 64, goal: 2, warm: 1.5 },
  { id: 'u16c512', group: 'unary', title: 'unary 16 B, 512 in flight', size: 16, inFlight: 512, goal: 3.5, warm: 0.5 },
  { id: 'u1kc64', group: 'unary', title: 'unary 1 KiB, 64 in flight', size: KIB, inFlight: 64, goal: 1.6, warm: 0.3 },
  { id: 'u64kc64', group: 'unary', title: 'unary 64 KiB, 64 in flight', size: 64 * KIB, inFlight: 64, goal: 1, goalUnmasked: 2, warm: 0.4 },
  { id: 'ss16', group: 'stream', title: 'server stream 16 B', kind: 'serverStream', size: 16, goal: 8 },
  { id: 'ss4k', group: 'stream', title: 'server stream 4 KiB', kind: 'serverStream', size: 4 * KIB, goal: 3 },
  { id: 'cs16', group: 'stream', title: 'client stream 16 B', kind: 'clientStream', size: 16, goal: 12 },
  { id: 'cs4k', group: 'stream', title: 'client stream 4 KiB', kind: 'clientStream', size: 4 * KIB, goal: 1.7 },
  { id: 'bd16', group: 'stream', title: 'bidirectional 16 B', kind: 'bidi', size: 16, goal: 8 },
  { id: 'bd4k', group: 'stream', title: 'bidirectional 4 KiB', kind: 'bidi', size: 4 * KIB, goal: 1.7 },
  { id: 'conn', group: 'conn', title: 'connections', lower: true, goalKiB: 14.5, goal: 1.2 },
  { id: 'stall', group: 'stall', title: 'a reader that has stopped', kind: 'serverStream', size: 64 * KIB, count: 9600, lower: true, goalMiB: 0.25 },
  { id: 'hol', group: 'hol', title: 'small calls beside large messages', kind: 'serverStream', size: 4 * MIB, count: 8, callSize: 16, lower: true }
]

export const GROUPS = [...new Set(CELLS.map(({ group }) => group))]

/** The cells that a list of ids and groups names; all of them for undefined. Throws for a name that is neither. */
export function chooseCells (names) {
  if (names === undefined) return CELLS
  for (const name of names) {
    if (!CELLS.some(({ id, group }) => id === name || group === name)) {
      throw new Error(`no cell or group ${name}; there are ${CELLS.map(({ id }) => id).join(' ')} and ${GROUPS.join(' ')}`)
    }
  }
  return CELLS.filter(({ id, group }) => names.includes(id) || names.includes(group))
}
