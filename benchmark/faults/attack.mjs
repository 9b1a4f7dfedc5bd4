/** One attack while it lasts: its end, its peers, and the count of what they did and were answered. */
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { RawPeer } from './raw-peer.mjs'

/** How long a refused peer waits before it comes again. */
const AGAIN_MS = 5

export class Attack {
  /** What was done: in the unit that the attack names. */
  done = 0
  answers = {}
  connections = 0
  #peers = new Set()
  #until

  /** @param width how many peers do the same at a time. */
  constructor ({ port, ms, width }) {
    this.port = port
    this.width = width
    this.#until = performance.now() + ms
    /** Resolves when the attack is over. */
    this.over = sleep(ms)
  }

  get isOver () { return performance.now() >= this.#until }
  get remainingMs () { return Math.max(0, this.#until - performance.now()) }

  /** A new peer, cut at the end of the attack. */
  peer (upgrades = true) {
    this.connections++
    const peer = new RawPeer(this.port, (label) => { this.answers[label] = (this.answers[label] ?? 0) + 1 }, upgrades)
    this.#peers.add(peer)
    peer.socket.on('close', () => { this.#peers.delete(peer) })
    return peer
  }

  /** Runs the function `width` times side by side, each again and again with a new open peer, until the attack is over. */
  async withPeers (run) {
    await Promise.all(Array.from({ length: this.width }, async () => {
      while (!this.isOver) {
        const peer = this.peer()
        if (await peer.opened()) await run(peer)
        else await sleep(AGAIN_MS)
        peer.leave('destroy')
      }
    }))
  }

  /** Writes the bytes again and again, as fast as the server takes them, until the attack or the peer is over. */
  async pour (peer, bytes, doneEach) {
    while (!this.isOver && !peer.isClosed) {
      peer.write(bytes)
      this.done += doneEach
      await peer.room()
    }
  }

  /** Asks again and again, with at most so many requests unanswered. `ask` takes the number of the request. */
  async ask (peer, ask, { inFlight, perTurn = 1, isAnswer = (message) => message.reqID > 0 }) {
    let asked = 0
    let answered = 0
    peer.onMessage = (message) => { if (isAnswer(message)) answered++ }
    while (!this.isOver && !peer.isClosed) {
      for (let i = 0; i < perTurn && asked - answered < inFlight; i++) {
        peer.write(ask(++asked))
        this.done++
      }
      await peer.room()
      if (asked - answered >= inFlight) await Promise.race([peer.until(() => asked - answered < inFlight), this.over])
    }
  }

  /** Cuts everybody who is still there. */
  async end () {
    await Promise.all([...this.#peers].map(async (peer) => {
      const closed = once(peer.socket, 'close')
      peer.leave('destroy')
      await closed
    }))
  }
}
