import t from 'tap'
import { SessionState, canReceive, canSend, nextSessionState } from '../../lib/connection/session-state.js'
import type { SessionEvent } from '../../lib/connection/session-state.js'

const { Open, SendEnded, RecvEnded, Ended, Closed } = SessionState

/** The drawing, as a table. */
const TABLE: Record<SessionState, Record<SessionEvent, SessionState>> = {
  [Open]: { sendEnd: SendEnded, recvEnd: RecvEnded, close: Closed },
  [SendEnded]: { sendEnd: SendEnded, recvEnd: Ended, close: Closed },
  [RecvEnded]: { sendEnd: Ended, recvEnd: RecvEnded, close: Closed },
  [Ended]: { sendEnd: Ended, recvEnd: Ended, close: Closed },
  [Closed]: { sendEnd: Closed, recvEnd: Closed, close: Closed }
}

t.test('every state and every event', t => {
  for (const state of Object.values(SessionState)) {
    for (const event of ['sendEnd', 'recvEnd', 'close'] as const) {
      t.equal(nextSessionState(state, event), TABLE[state][event], `${state} ${event}`)
    }
  }
  t.end()
})

t.test('what may be done', t => {
  t.same(Object.values(SessionState).filter(canSend), [Open, RecvEnded])
  t.same(Object.values(SessionState).filter(canReceive), [Open, SendEnded])
  t.end()
})
