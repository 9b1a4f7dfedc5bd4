/**
 * Lets the event loop have a turn in the middle of long synchronous work. Works in browsers and in Node:
 * a message port is the one macrotask that both have and that no browser delays by 4 ms as it does timers.
 */

/** Work of one slice, in bytes of input or output: about a millisecond or less for every codec of this room. */
export const SLICE_BYTES = 256 * 1024

/** Resolves in a later turn of the event loop, after input and output that is already waiting. */
export function nextTurn (): Promise<void> {
  return new Promise(resolve => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close() // an open port keeps a Node process alive
      resolve()
    }
    port2.postMessage(undefined)
  })
}

/** Runs the step in later turns of the event loop, one each, until it returns true; rejects with what it throws. */
export async function inLaterTurns (step: () => boolean): Promise<void> {
  do await nextTurn()
  while (!step())
}
