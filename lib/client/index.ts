/** What a page or a Node program imports to call a server. Re-exports only; nothing here reaches `node:`. */
export { connect } from './connect.js'
export { Client } from './client.js'
export type { RecvOptions } from './client.js'
export { ClientBiDirStream, ClientRecvStream, ClientSendStream } from './streams.js'
export { SyncMethod } from './sync-method.js'
export { Metadata } from '../metadata.js'
export type { MetadataEntry, MetadataInit } from '../metadata.js'
export { Category, ErrorCode, ProtocolError, RpcError, categoryName } from '../errors.js'
export type { RpcErrorOptions } from '../errors.js'
export { Compression, PROTOCOL_MAJOR, PROTOCOL_MINOR, RpcType } from '../wire/message.js'
export { webSocketTransport } from '../transport/websocket.js'
export { memoryPair } from '../transport/memory.js'
export type { MessageOptions, ReceivedMessage } from '../../types/stream.js'
export type {
  CallOptions, ClientOptions, ClientStreamIO, ClientStreamWrapper, ConnectOptions, StreamClientCall, StreamClientInterceptor, UnaryAnswer, UnaryClientCall, UnaryClientInterceptor, WebSocketClass
} from '../../types/client-options.js'
export type { Compressor } from '../../types/compressor.js'
export type { Transport, TransportSink } from '../../types/transport.js'
