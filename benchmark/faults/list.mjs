/**
 * The attacks. `unit` is what they count, `maxSeconds` how long they last at most, `isExtra` that they are made only where
 * they are asked for. Imports nothing.
 */
export const ATTACKS = [
  { name: 'neighbour', title: 'busy neighbour (control)', unit: 'turns', maxSeconds: 1 },
  { name: 'slow', title: 'slow readers', unit: 'MiB' },
  { name: 'downloads', title: 'downloads without end', unit: 'MiB' },
  { name: 'uploads', title: 'uploads without end', unit: 'MiB' },
  { name: 'senders', title: 'senders that never stop', unit: 'MiB' },
  { name: 'half-open', title: 'half-open sockets', unit: 'sockets' },
  { name: 'resets', title: 'resets in every state', unit: 'sockets' },
  { name: 'gzip', title: 'bombs: gzip', unit: 'bombs' },
  { name: 'snappy', title: 'bombs: snappy', unit: 'bombs' },
  { name: 'zstd', title: 'bombs: zstd', unit: 'bombs' },
  { name: 'opens', title: 'Opens to missing methods', unit: 'Opens' },
  { name: 'metadata', title: 'metadata floods', unit: 'Opens' },
  { name: 'cancels', title: 'cancel storm', unit: 'calls' },
  { name: 'throws', title: 'handlers that throw', unit: 'calls' },
  { name: 'never', title: 'handlers that never end', unit: 'calls' },
  { name: 'open-close', title: 'streams opened and closed', unit: 'streams', isExtra: true },
  { name: 'late', title: 'frames for a session that is over', unit: 'frames', isExtra: true },
  { name: 'pings', title: 'pings', unit: 'pings', isExtra: true },
  { name: 'garbage', title: 'garbage', unit: 'connections', isExtra: true }
]

/** What goes on while the server shuts down. */
export const DRAIN = { name: 'drain', title: 'drain in the middle' }
