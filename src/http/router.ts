/** Finds the route of a request, for servers that have no router of their own. */
import type { Route } from './route.ts'

/** A route, and its path parameters. */
export interface RouteMatch {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
}

/** Finds the route of a method and a path. */
export type Router = (method: string, pathname: string) => RouteMatch | undefined

/**
 * Makes the router for routes below a prefix. A path without parameters comes before one with parameters; after that, a
 * route for the method comes before a route for all methods. HEAD is answered as GET.
 *
 * @example
 * const find = createRouter(createRoutes(composition), '/api')
 * const found = find('GET', '/api/orders/status/01890a5d')
 */
export function createRouter(routes: readonly Route[], prefix: string): Router {
  const known = routes.map(route => ({ route, names: route.path.slice(1).split('/') }))
  return (method, pathname) => {
    if (!pathname.startsWith(`${prefix}/`)) return undefined
    const parts = pathname.slice(prefix.length + 1).split('/')
    const wanted = method === 'HEAD' ? 'GET' : method
    return known
      .filter(({ route }) => route.method === wanted || route.method === '*')
      .flatMap(({ route, names }) => matchPath(route, names, parts) ?? [])
      .sort((a, b) => rank(a) - rank(b))[0]
  }
}

function rank({ route, params }: RouteMatch): number {
  return 2 * Object.keys(params).length + (route.method === '*' ? 1 : 0)
}

function matchPath(route: Route, names: readonly string[], parts: readonly string[]): RouteMatch | undefined {
  if (names.length !== parts.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, name] of names.entries()) {
    const part = parts[index] ?? ''
    if (name.startsWith(':')) params[name.slice(1)] = decode(part)
    else if (name !== part) return undefined
  }
  return { route, params }
}

/** A part that is wrongly encoded is left as it is: it names nothing that exists. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
