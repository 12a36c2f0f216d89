/** Finds the route of a request, for servers that have no router of their own. */
import type { Route } from './http.ts'

/** A route, and the parts of the path that it names. */
export interface RouteMatch {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
}

/** The route of a method and a path below a prefix. A path without a parameter goes before one with. HEAD is answered as GET. */
export function matchRoute(
  routes: readonly Route[],
  method: string,
  pathname: string,
  prefix: string,
): RouteMatch | undefined {
  if (!pathname.startsWith(`${prefix}/`)) return undefined
  const parts = pathname.slice(prefix.length + 1).split('/')
  const wanted = method === 'HEAD' ? 'GET' : method
  const found = routes
    .filter(route => route.method === wanted)
    .flatMap(route => matchPath(route, parts) ?? [])
    .sort((a, b) => Object.keys(a.params).length - Object.keys(b.params).length)
  return found[0]
}

function matchPath(route: Route, parts: readonly string[]): RouteMatch | undefined {
  const names = route.path.slice(1).split('/')
  if (names.length !== parts.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, name] of names.entries()) {
    const part = parts[index] ?? ''
    if (name.startsWith(':')) params[name.slice(1)] = decode(part)
    else if (name !== part) return undefined
  }
  return { route, params }
}

/** What is not well encoded is taken as it is: it names nothing that exists. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
