/**
 * Interceptors: functions around a call, outermost first, each deciding whether and how the next is
 * called. One type for unary calls and one for streams, the same shape on both sides of the wire.
 */

/**
 * Composes interceptors around the innermost function; the first of the list is the outermost. An
 * interceptor that throws at once, because it is no async function, rejects like any other.
 */
export function compose<Call, Result> (
  interceptors: readonly ((call: Call, next: (call: Call) => Promise<Result>) => Promise<Result>)[],
  innermost: (call: Call) => Promise<Result>
): (call: Call) => Promise<Result> {
  return interceptors.reduceRight<(call: Call) => Promise<Result>>((next, interceptor) => (call) => {
    try {
      return interceptor(call, next)
    } catch (error) {
      return Promise.reject(error)
    }
  }, innermost)
}
