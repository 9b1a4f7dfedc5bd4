/**
 * The context of one call on the server: who called, how long there is, and the signal that says when
 * nobody waits any more. Everything that costs (AbortController, Metadata, child logger) is made when it
 * is first asked for, because most calls never ask.
 */
import type { FastifyRequest } from 'fastify'
import type { ConnectionView, HandlerContext } from '../../types/handler-context.js'
import type { Logger } from '../../types/logger.js'
import { ErrorCode } from '../errors.js'
import type { RpcError } from '../errors.js'
import { Metadata } from '../metadata.js'
import type { MetadataEntry, MetadataInit } from '../metadata.js'

/** What the calls of one session share. */
export interface SessionContext {
  readonly package: string
  readonly service: string
  readonly call: string
  readonly type: number
  readonly session: number
  readonly connection: ConnectionView
  readonly request: FastifyRequest | undefined
  readonly log: Logger
  readonly metadata: readonly MetadataEntry[]
  readonly traceID: Uint8Array
  readonly spanID: Uint8Array
}

export class CallContext implements HandlerContext {
  readonly reqID: number
  /** Epoch milliseconds of the deadline; undefined when there is none. */
  readonly deadlineEpoch: number | undefined
  readonly #session: SessionContext
  readonly #metadataEntries: readonly MetadataEntry[]
  #metadata: Metadata | undefined
  #trailer: Metadata | undefined
  #log: Logger | undefined
  #controller: AbortController | undefined
  #abortReason: RpcError | undefined

  constructor (session: SessionContext, reqID: number, metadata: readonly MetadataEntry[], deadlineEpoch: number | undefined) {
    this.#session = session
    this.reqID = reqID
    this.#metadataEntries = metadata
    this.deadlineEpoch = deadlineEpoch
  }

  get package (): string { return this.#session.package }
  get service (): string { return this.#session.service }
  get call (): string { return this.#session.call }
  get type (): number { return this.#session.type }
  get session (): number { return this.#session.session }
  get connection (): ConnectionView { return this.#session.connection }
  get remoteAddress (): string | undefined { return this.#session.connection.remoteAddress }
  get traceID (): Uint8Array { return this.#session.traceID }
  get spanID (): Uint8Array { return this.#session.spanID }
  get deadline (): Date | undefined { return this.deadlineEpoch === undefined ? undefined : new Date(this.deadlineEpoch) }

  get request (): FastifyRequest {
    const { request } = this.#session
    if (request === undefined) throw Object.assign(new TypeError('there is no upgrade request: this connection is served without Fastify'), { code: ErrorCode.ARGUMENT_INVALID })
    return request
  }

  /** The connection's own logger, which spares the child. */
  get sessionLog (): Logger { return this.#session.log }

  get log (): Logger {
    this.#log ??= this.#session.log.child({ package: this.package, service: this.service, call: this.call, session: this.session })
    return this.#log
  }

  get metadata (): Metadata {
    if (this.#metadata === undefined) {
      this.#metadata = Metadata.fromEntries(this.#session.metadata)
      if (this.#metadataEntries.length > 0) this.#metadata.merge(Metadata.fromEntries(this.#metadataEntries))
    }
    return this.#metadata
  }

  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason)
    }
    return this.#controller.signal
  }

  /** Why it was aborted; undefined while it was not. */
  get abortReason (): RpcError | undefined { return this.#abortReason }

  get trailer (): Metadata {
    this.#trailer ??= new Metadata()
    return this.#trailer
  }

  /** The trailers if any were set; spares making an empty object. */
  get trailerEntries (): readonly MetadataEntry[] | undefined { return this.#trailer?.toEntries() }

  setTrailer (metadata: MetadataInit): void { this.trailer.merge(metadata) }

  /** Tells the handler that nobody waits any more. The first reason stands. */
  abort (reason: RpcError): void {
    if (this.#abortReason !== undefined) return
    this.#abortReason = reason
    this.#controller?.abort(reason)
  }
}
