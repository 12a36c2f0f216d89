/** The console: static files that `npm run build` makes from `console/`. They hold no data and are for everyone. */
import { readFile } from 'node:fs/promises'
import { problemError } from '../../model/problem.ts'
import type { HttpRequest, HttpResponse } from '../message.ts'
import { type OwnRoute, route } from '../route.ts'

/** Beside the built package, and beside its sources. */
const FOLDERS = ['../../console/', '../../../dist/console/'].map(it => new URL(it, import.meta.url))

/** Each view of the console has its own path, so that it can be reloaded and linked to. */
const VIEWS: ReadonlySet<string> = new Set(['', 'operations', 'types', 'bulk', 'audit'])

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** The page may load only its own files, send requests only to this API, and not be embedded in other pages. */
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}

/**
 * Makes the routes.
 *
 * @param base what comes before every URL that is sent to a client
 */
export function consoleRoutes(base: string): OwnRoute[] {
  const page = createPage(`${pathOf(base)}/console/`)
  return [
    // The view is empty in a path that ends with a slash.
    ...['', '/:view', '/operations/:id'].map(path => route('GET', `/console${path}`, page, { open: true })),
    route('GET', '/console/assets/:file', asset, { open: true }),
  ]
}

/** The page, with links that begin with its mount path. */
function createPage(path: string): OwnRoute['handle'] {
  let page: Promise<string> | undefined
  return async ({ params: { view = '' } }) => {
    if (!VIEWS.has(view)) throw problemError('no-such-route')
    page ??= read('index.html').then(html =>
      html.replace('<base href="/console/">', `<base href="${attribute(path)}">`),
    )
    const body = await page.catch(error => {
      page = undefined
      throw error
    })
    const headers = { ...HEADERS, 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-cache' }
    return { status: 200, headers, body }
  }
}

/** The name of a file holds a digest of its content, so that caches may keep it forever. */
async function asset({ params: { file = '' } }: HttpRequest): Promise<HttpResponse> {
  const [, extension = ''] = /^[\w-]+\.(js|css|svg)$/.exec(file) ?? []
  const type = TYPES[extension]
  if (type === undefined) throw problemError('no-such-route')
  const headers = { ...HEADERS, 'Content-Type': type, 'Cache-Control': 'public, max-age=31536000, immutable' }
  return { status: 200, headers, body: await read(`assets/${file}`) }
}

async function read(file: string): Promise<string> {
  for (const folder of FOLDERS) {
    const text = await readFile(new URL(file, folder), 'utf8').catch(undefinedIfMissing)
    if (text !== undefined) return text
  }
  throw problemError(
    'no-such-route',
    file === 'index.html' ? 'The console is not built: run npm run build.' : undefined,
  )
}

/** @throws any error but the one for a file that does not exist */
function undefinedIfMissing(error: unknown): undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
}

/** A base is a path, or a URL whose path counts. */
function pathOf(base: string): string {
  return URL.parse(base)?.pathname.replace(/\/+$/, '') ?? base
}

function attribute(path: string): string {
  return path.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
