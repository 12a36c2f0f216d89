/** One route of the API, on plain values. */
import type { HttpRequest, HttpResponse } from './message.ts'

/** The methods that routes have. `*` is every method that no other route of the same path has; HEAD goes with GET. */
export type Method = 'GET' | 'POST' | 'DELETE' | 'OPTIONS' | '*'

/** One route. A path names its parts as `:id`. */
export interface Route {
  readonly method: Method
  readonly path: string
  /** The largest body it takes, in bytes; 0 where it takes none. */
  readonly bodyLimit: number
  /** Whether it takes lines of JSON (NDJSON) too. Default false. */
  readonly ndjson?: boolean | undefined
  /** Whether it is for everyone: `principal` is not asked. */
  readonly open: boolean
  /** Whether it is for operators: `admin.principal` is asked, and `principal` is not. Default false. */
  readonly admin?: boolean | undefined
  /** What `WWW-Authenticate` says where a caller is refused with 401. Default: what the server's option `challenge` says. */
  readonly challenge?: string
  /** Answers; never rejects. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
}

/** A route before it is put beside the others. */
export interface OwnRoute extends Route {
  /** Whether it is for what a request names, where the path alone does not tell. Default: it is. */
  readonly fits?: (request: HttpRequest) => boolean
}

/** Makes a route for callers, without a body. */
export function route(method: Method, path: string, handle: Route['handle'], more: Partial<OwnRoute> = {}): OwnRoute {
  return { method, path, handle, bodyLimit: 0, open: false, ...more }
}
