// What real Go peers wrote, one entry per Write call: read as a stream and written again.
import t from 'tap'
import { ByteWriter } from '../../lib/wire/byte-writer.js'
import { encodeMessage } from '../../lib/wire/encode.js'
import type { Message } from '../../lib/wire/message.js'
import { MessageReader } from '../../lib/wire/message-reader.js'
import { writePackedFrame } from '../../lib/wire/packing.js'
import { MSG } from '../../lib/wire/schema.js'
import { decodeStruct } from '../../lib/wire/struct-reader.js'
import { encodeStruct } from '../../lib/wire/struct-writer.js'
import { fromHex, readJson, toHex } from './data.js'

interface Step { from?: 'client' | 'server', hex?: string, result?: string }
interface Transcript { name: string, steps: Step[] }

const { transcripts } = readJson<{ transcripts: Transcript[] }>('transcripts.json')

/** Both directions agree on packing at the first OpenAck that says so. */
function agreesOnPacking (message: Message): boolean {
  return message.constructor.name === 'OpenAck' && 'packing' in message && message.packing
}

for (const { name, steps } of transcripts) {
  t.test(name, t => {
    const read: Message[] = []
    const newReader = (): MessageReader => new MessageReader({ maxFrameBytes: 1 << 20, onMessage: (message) => read.push(message) })
    const readers = { client: newReader(), server: newReader() }

    for (const { from, hex } of steps) {
      if (from === undefined || hex === undefined) continue
      const bytes = fromHex(hex)
      const wasPacked = bytes[2] !== 0x0e
      readers[from].push(bytes)
      t.equal(read.length, 1, `${from}: one write, one message`)
      const message = read.pop() as Message
      if (agreesOnPacking(message)) readers.client.acceptPacked = readers.server.acceptPacked = true

      const writer = new ByteWriter()
      if (message.type === 0) throw new Error('Go sends no unknown messages')
      encodeMessage(writer, message)
      if (wasPacked) {
        const frame = writer.take()
        t.equal(writePackedFrame(writer, frame), true)
      } else {
        t.equal(toHex(encodeStruct(MSG, decodeStruct(MSG, bytes))), hex, `${message.constructor.name}: the tables write it again`)
      }
      t.equal(toHex(writer.take()), hex, `${message.constructor.name}: encodeMessage writes it again`)
    }
    t.notOk(readers.client.isMidFrame || readers.server.isMidFrame)
    t.end()
  })
}
