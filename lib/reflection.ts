/**
 * The reflection service of Claw (protocol 1.0, section 2.5): `reflection/Reflection/ListServices`,
 * `GetServiceInfo` and `GetMethodInfo` tell a client what the registry holds.
 */
import type { HandlerContext } from '../types/handler-context.js'
import { Category, RpcError } from './errors.js'
import { SyncHandler } from './server/handlers.js'
import type { HandlerInfo } from './server/registry.js'
import type { Server } from './server/server.js'
import {
  GET_METHOD_INFO_REQUEST, GET_METHOD_INFO_RESPONSE, GET_SERVICE_INFO_REQUEST, GET_SERVICE_INFO_RESPONSE,
  LIST_SERVICES_REQUEST, LIST_SERVICES_RESPONSE
} from './wire/service-schema.js'
import type { MethodInfo, PackageInfo, ServiceInfo } from './wire/service-schema.js'
import type { Schema } from './wire/struct.js'
import { decodeStruct } from './wire/struct-reader.js'
import { encodeStruct } from './wire/struct-writer.js'

/** Who may look. Answering false refuses with PermissionDenied; throw an RpcError to refuse otherwise. */
export type ReflectionGuard = (context: HandlerContext) => boolean | Promise<boolean>

/**
 * Registers the service.
 * @param guard asked at every call; without one everybody may look.
 * @throws CLAW_ERR_HANDLER_EXISTS when it is registered already.
 */
export function registerReflection (server: Server, guard: ReflectionGuard = () => true): void {
  const answers = {
    ListServices: (request: Uint8Array) => {
      decode(LIST_SERVICES_REQUEST, request)
      return encodeStruct(LIST_SERVICES_RESPONSE, { packages: packagesOf([...server.registry.handlers()]) })
    },
    GetServiceInfo: (request: Uint8Array) => {
      const wanted = decode(GET_SERVICE_INFO_REQUEST, request)
      const infos = [...server.registry.handlers()].filter((info) => info.package === wanted.package && info.service === wanted.service)
      return encodeStruct(GET_SERVICE_INFO_RESPONSE, infos.length === 0 ? {} : { service: { name: wanted.service, methods: methodsOf(infos) }, found: true })
    },
    GetMethodInfo: (request: Uint8Array) => {
      const wanted = decode(GET_METHOD_INFO_REQUEST, request)
      const found = server.registry.lookup(wanted.package, wanted.service, wanted.method)
      return encodeStruct(GET_METHOD_INFO_RESPONSE, found === undefined ? {} : { method: { name: found.call, type: found.type }, found: true })
    }
  }
  for (const [call, answer] of Object.entries(answers)) {
    server.register('reflection', 'Reflection', call, new SyncHandler(async (context, request) => {
      if (!await guard(context)) throw new RpcError(Category.PermissionDenied, 'reflection is not allowed')
      return answer(request)
    }))
  }
}

function packagesOf (infos: readonly HandlerInfo[]): PackageInfo[] {
  return groups(infos, (info) => info.package).map(([name, inPackage]) => ({ name, services: servicesOf(inPackage) }))
}

function servicesOf (infos: readonly HandlerInfo[]): ServiceInfo[] {
  return groups(infos, (info) => info.service).map(([name, inService]) => ({ name, methods: methodsOf(inService) }))
}

function methodsOf (infos: readonly HandlerInfo[]): MethodInfo[] {
  return infos.map(({ call, type }) => ({ name: call, type })).sort((a, b) => compare(a.name, b.name))
}

/** Groups by name, in the order of the names. */
function groups (infos: readonly HandlerInfo[], nameOf: (info: HandlerInfo) => string): [string, HandlerInfo[]][] {
  const byName = new Map<string, HandlerInfo[]>()
  for (const info of infos) {
    const group = byName.get(nameOf(info))
    if (group === undefined) byName.set(nameOf(info), [info])
    else group.push(info)
  }
  return [...byName].sort(([a], [b]) => compare(a, b))
}

function compare (a: string, b: string): number { return a < b ? -1 : a > b ? 1 : 0 }

function decode<T extends object> (schema: Schema<T>, request: Uint8Array): T {
  if (request.byteLength === 0) return schema.create()
  try {
    return decodeStruct(schema, request)
  } catch (cause) {
    throw new RpcError(Category.InvalidArgument, `not a ${schema.name}`, { cause })
  }
}
