// @ts-check
/** Counts what really goes over the wire: a WebSocket class for `connect`, and its numbers. */

export const meter = {
  sockets: 0,
  framesOut: 0,
  framesIn: 0,
  bytesOut: 0,
  bytesIn: 0,
  /** @type {(isSent: boolean, bytes: number) => void} */
  onFrame: () => {}
}

export class MeteredWebSocket extends WebSocket {
  /**
   * @param {string} url
   * @param {string | string[]} [protocols]
   */
  constructor (url, protocols) {
    super(url, protocols)
    meter.sockets++
    this.addEventListener('message', ({ data }) => {
      meter.framesIn++
      meter.bytesIn += data.byteLength
      meter.onFrame(false, data.byteLength)
    })
  }

  /**
   * @override
   * @param {any} data
   */
  send (data) {
    super.send(data)
    meter.framesOut++
    meter.bytesOut += data.byteLength
    meter.onFrame(true, data.byteLength)
  }
}
