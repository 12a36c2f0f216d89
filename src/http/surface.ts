import type { Waybill } from '../waybill.ts'
import type { CorsOptions } from './cors.ts'
import type { Route } from './route.ts'

/** What a surface needs for its answers. */
export interface SurfaceContext {
  /** The composition; its `operations` submit, find, wait and cancel, and check ownership. */
  readonly waybill: Waybill
  /** What comes before every URL that is sent to a client: the mount prefix, or a public base URL with it. */
  readonly base: string
  /** Whether callers may be refused. */
  readonly authenticated: boolean
  /** Which pages of other origins may use the API; undefined for none. */
  readonly cors: CorsOptions | undefined
}

/**
 * A further way to call the operations, beside the HTTP API and over the same service: its routes take and return plain
 * values, and get the caller in `owner`. The service does limits, idempotency, waiting and ownership, so every surface
 * has them.
 */
export interface Surface {
  /**
   * Makes its routes when the API is put on a server. An operation type must not have the name of the first part of
   * their paths.
   *
   * @throws {TypeError} where the composition or the base does not fit
   */
  routes(context: SurfaceContext): readonly Route[]
}
