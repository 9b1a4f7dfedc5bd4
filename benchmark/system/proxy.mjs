/** A TCP proxy on the loopback that can stop to read from the server, as a client does whose socket is paused. */
import { connect, createServer } from 'node:net'

export async function openProxy (port) {
  const sockets = new Set()
  const fromServer = new Set()
  let isStopped = false
  const proxy = createServer({ noDelay: true }, (client) => {
    const server = connect({ port, host: '127.0.0.1', noDelay: true })
    fromServer.add(server)
    for (const [one, other] of [[client, server], [server, client]]) {
      sockets.add(one)
      one.on('data', (bytes) => { other.write(bytes) })
      one.on('error', () => {})
      one.on('close', () => { other.destroy() })
    }
    if (isStopped) server.pause()
  })
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve) })
  return {
    port: proxy.address().port,
    stopReading () {
      isStopped = true
      for (const server of fromServer) server.pause()
    },
    close () {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    }
  }
}
