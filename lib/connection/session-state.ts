/**
 * The states of a session and the one function that changes them. Credit, pausing and queues are not
 * states: they have types of their own.
 *
 *            sendEnd                    sendEnd
 *    open ------------> sendEnded    recvEnded ------------> ended
 *     | `---recvEnd---> recvEnded    sendEnded ---recvEnd--> ended
 *     |
 *     `--- close, from every state ---> closed
 */

export const SessionState = {
  /** Both halves may send. */
  Open: 'open',
  /** This side has said its last message. */
  SendEnded: 'sendEnded',
  /** The peer has said its last message. */
  RecvEnded: 'recvEnded',
  /** Both have, the outcome (Close) is still to come. */
  Ended: 'ended',
  /** A Close was sent or received, or the connection is gone. */
  Closed: 'closed'
} as const
export type SessionState = typeof SessionState[keyof typeof SessionState]

export type SessionEvent = 'sendEnd' | 'recvEnd' | 'close'

/** The state after the event. An event that a state does not know leaves it as it is. */
export function nextSessionState (state: SessionState, event: SessionEvent): SessionState {
  if (event === 'close' || state === SessionState.Closed) return SessionState.Closed
  if (event === 'sendEnd') {
    if (state === SessionState.Open) return SessionState.SendEnded
    return state === SessionState.RecvEnded ? SessionState.Ended : state
  }
  if (state === SessionState.Open) return SessionState.RecvEnded
  return state === SessionState.SendEnded ? SessionState.Ended : state
}

/** Whether this side may still send payloads. */
export function canSend (state: SessionState): boolean {
  return state === SessionState.Open || state === SessionState.RecvEnded
}

/** Whether payloads of the peer are still expected. */
export function canReceive (state: SessionState): boolean {
  return state === SessionState.Open || state === SessionState.SendEnded
}
