/** From a peer's DeadlineMS and the server's cap to the milliseconds a call may take. */

/** Longest time a timer can be set for; longer deadlines are as good as none for a timer, and are clamped. */
const MAX_TIMER_MS = 0x7fffffff

/** Milliseconds from now, or undefined for no deadline. @param capMs 0 for no cap. */
export function deadlineIn (deadlineMS: bigint, capMs: number): number | undefined {
  const cap = capMs === 0 ? Infinity : capMs
  const wanted = deadlineMS === 0n ? Infinity : deadlineMS > BigInt(MAX_TIMER_MS) ? MAX_TIMER_MS : Number(deadlineMS)
  const ms = Math.min(cap, wanted)
  return ms === Infinity ? undefined : ms
}
