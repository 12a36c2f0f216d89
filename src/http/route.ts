/** One route of the API, on plain values. */
import type { HttpRequest, HttpResponse } from './message.ts'

/** The methods that routes have. `*` is every method that no other route of the same path has; HEAD goes with GET. */
export type Method = 'GET' | 'POST' | 'DELETE' | 'OPTIONS' | '*'

/** One route. A path names its parts as `:id`. */
export interface Route {
  readonly method: Method
  readonly path: string
  /** The largest body that it accepts, in bytes; 0 if it accepts none. */
  readonly bodyLimit: number
  /** Whether it also accepts lines of JSON (NDJSON). Default false. */
  readonly ndjson?: boolean | undefined
  /** Whether it is for everyone: `principal` is not asked. */
  readonly open: boolean
  /** Whether it is for operators: `admin.principal` is asked, and `principal` is not. Default false. */
  readonly admin?: boolean | undefined
  /** The `WWW-Authenticate` of a 401. Default: the server's option `challenge`. */
  readonly challenge?: string
  /** Answers a request; never rejects. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
}

/** A route before it is merged with the others of its path. */
export interface OwnRoute extends Route {
  /** Whether it matches a request, if the path alone does not decide that. Default: it matches. */
  readonly fits?: (request: HttpRequest) => boolean
}

/** Makes a route for callers, without a body. */
export function route(method: Method, path: string, handle: Route['handle'], more: Partial<OwnRoute> = {}): OwnRoute {
  return { method, path, handle, bodyLimit: 0, open: false, ...more }
}
