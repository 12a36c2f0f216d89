import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { extname } from 'node:path'
import type { FastifyPluginAsync } from 'fastify'

const client = new URL(import.meta.resolve('waybill/client'))
/** `.js`, or `.ts` where Waybill's own tests run its source. */
const kind = extname(client.pathname)
const modules = readdirSync(new URL('./', client)).filter(name => name.endsWith(kind) && !name.endsWith('.d.ts'))

/** The pages, and Waybill's client for it: a fixed list of files, so that nothing of a request is ever taken for a path. */
const files = {
  '/': new URL('./page/index.html', import.meta.url),
  '/history': new URL('./page/history.html', import.meta.url),
  '/history.css': new URL('./page/history.css', import.meta.url),
  '/history.js': new URL('./page/history.js', import.meta.url),
  '/page.css': new URL('./page/page.css', import.meta.url),
  '/page.js': new URL('./page/page.js', import.meta.url),
  [`/waybill/model/protocol${kind}`]: new URL(`../model/protocol${kind}`, client),
  ...Object.fromEntries(modules.map(name => [`/waybill/client/${name}`, new URL(name, client)])),
  '/waybill/client/client.js': client,
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'Cache-Control': 'no-cache',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}

/** What an order's attempts have thrown. */
interface ThrownError {
  readonly attempt: number
  readonly error: unknown
}

/** Options of {@link page}. */
interface PageOptions {
  /**
   * Reads what the handler threw in each attempt at an order: for those who operate the service, stacks and all. Left
   * out where others may see the page: the history then shows what clients are told.
   */
  readonly errors?: ((id: string) => Promise<readonly ThrownError[]>) | undefined
}

/** Serves the page at `/`, and the history of orders at `/history`. */
export const page: FastifyPluginAsync<PageOptions> = async (app, { errors }) => {
  for (const [path, file] of Object.entries(files)) {
    app.get(path, async (_request, reply) =>
      reply
        .headers(HEADERS)
        .type(mediaType(file))
        .send(await read(file)),
    )
  }
  app.get<{ Params: { id: string } }>('/history/:id/errors', async (request, reply) => {
    reply.headers({ ...HEADERS, 'Cache-Control': 'no-store' })
    const items = UUID.test(request.params.id) ? await errors?.(request.params.id) : undefined
    return items === undefined ? reply.code(404).send({ title: 'There are no errors to show' }) : { items }
  })
}

async function read(file: URL): Promise<string> {
  const text = await readFile(file, 'utf8')
  return file.pathname.endsWith('.ts') ? stripTypeScriptTypes(text) : text
}

function mediaType({ pathname }: URL): string {
  const subtype = /\.(html|css)$/.exec(pathname)?.[1] ?? 'javascript'
  return `text/${subtype}; charset=utf-8`
}
