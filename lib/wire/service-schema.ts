/**
 * The values and tables of the two services every Claw server may offer, health and reflection (protocol 1.0,
 * section 2.5). Their bytes are the content of payloads; no message refers to them, so a client that does not
 * ask bundles nothing of this file.
 */
import { Kind } from './struct.js'
import type { Schema } from './struct.js'

/** The status in a HealthCheckResponse. */
export const ServingStatus = { Unknown: 0, Serving: 1, NotServing: 2, ServiceUnknown: 3 } as const
export type ServingStatus = typeof ServingStatus[keyof typeof ServingStatus]

/** Asks for one service; '' means the whole server. */
export interface HealthCheckRequest { service: string }
/** `status` is a ServingStatus; any number may come from a peer. */
export interface HealthCheckResponse { status: number }
/** One call; `type` is an RpcType, any number may come from a peer. */
export interface MethodInfo { name: string, type: number }
/** One service and its calls. */
export interface ServiceInfo { name: string, methods: readonly MethodInfo[] }
/** One package and its services. */
export interface PackageInfo { name: string, services: readonly ServiceInfo[] }
/** Asks for everything. */
export interface ListServicesRequest { reserved: number }
export interface ListServicesResponse { packages: readonly PackageInfo[] }
export interface GetServiceInfoRequest { package: string, service: string }
/** Without `service` and `found` it says "not found". */
export interface GetServiceInfoResponse { service: ServiceInfo | undefined, found: boolean }
export interface GetMethodInfoRequest { package: string, service: string, method: string }
/** Without `method` and `found` it says "not found". */
export interface GetMethodInfoResponse { method: MethodInfo | undefined, found: boolean }

export const HEALTH_CHECK_REQUEST: Schema<HealthCheckRequest> = {
  name: 'HealthCheckRequest',
  create: () => ({ service: '' }),
  fields: [{ name: 'service', kind: Kind.String }]
}

export const HEALTH_CHECK_RESPONSE: Schema<HealthCheckResponse> = {
  name: 'HealthCheckResponse',
  create: () => ({ status: ServingStatus.Unknown }),
  fields: [{ name: 'status', kind: Kind.U8 }]
}

export const METHOD_INFO: Schema<MethodInfo> = {
  name: 'MethodInfo',
  create: () => ({ name: '', type: 0 }),
  fields: [
    { name: 'name', kind: Kind.String },
    { name: 'type', kind: Kind.U8 }
  ]
}

export const SERVICE_INFO: Schema<ServiceInfo> = {
  name: 'ServiceInfo',
  create: () => ({ name: '', methods: [] }),
  fields: [
    { name: 'name', kind: Kind.String },
    { name: 'methods', kind: Kind.Structs, schema: METHOD_INFO }
  ]
}

export const PACKAGE_INFO: Schema<PackageInfo> = {
  name: 'PackageInfo',
  create: () => ({ name: '', services: [] }),
  fields: [
    { name: 'name', kind: Kind.String },
    { name: 'services', kind: Kind.Structs, schema: SERVICE_INFO }
  ]
}

export const LIST_SERVICES_REQUEST: Schema<ListServicesRequest> = {
  name: 'ListServicesRequest',
  create: () => ({ reserved: 0 }),
  fields: [{ name: 'reserved', kind: Kind.U8 }]
}

export const LIST_SERVICES_RESPONSE: Schema<ListServicesResponse> = {
  name: 'ListServicesResponse',
  create: () => ({ packages: [] }),
  fields: [{ name: 'packages', kind: Kind.Structs, schema: PACKAGE_INFO }]
}

export const GET_SERVICE_INFO_REQUEST: Schema<GetServiceInfoRequest> = {
  name: 'GetServiceInfoRequest',
  create: () => ({ package: '', service: '' }),
  fields: [
    { name: 'package', kind: Kind.String },
    { name: 'service', kind: Kind.String }
  ]
}

export const GET_SERVICE_INFO_RESPONSE: Schema<GetServiceInfoResponse> = {
  name: 'GetServiceInfoResponse',
  create: () => ({ service: undefined, found: false }),
  fields: [
    { name: 'service', kind: Kind.Struct, schema: SERVICE_INFO },
    { name: 'found', kind: Kind.Bool }
  ]
}

export const GET_METHOD_INFO_REQUEST: Schema<GetMethodInfoRequest> = {
  name: 'GetMethodInfoRequest',
  create: () => ({ package: '', service: '', method: '' }),
  fields: [
    { name: 'package', kind: Kind.String },
    { name: 'service', kind: Kind.String },
    { name: 'method', kind: Kind.String }
  ]
}

export const GET_METHOD_INFO_RESPONSE: Schema<GetMethodInfoResponse> = {
  name: 'GetMethodInfoResponse',
  create: () => ({ method: undefined, found: false }),
  fields: [
    { name: 'method', kind: Kind.Struct, schema: METHOD_INFO },
    { name: 'found', kind: Kind.Bool }
  ]
}
