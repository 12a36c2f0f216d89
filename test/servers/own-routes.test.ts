/** Operations in routes of one's own: the examples of docs/guide/servers.md, run on each server. */
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Express } from 'express'
import type { FastifyInstance } from 'fastify'
import type { Hono } from 'hono'
import { afterAll, beforeAll, expect } from 'vitest'
import { root } from '../../scripts/tools.ts'
import type { Waybill } from '../../src/waybill.ts'
import { createProgramFolder } from '../support/sample-program.ts'
import { hasFinished, type TestContext, test } from '../support/waybill.ts'

/** The composition of the examples, without a file and with a handler of one line. */
const COMPOSITION = `
import { handler } from 'waybill'
import { createWaybill } from 'waybill/server'
import { sqliteStore } from 'waybill/stores/sqlite'
import { reports } from './reports.ts'

export const composition = createWaybill({
  operations: [reports],
  store: sqliteStore({ path: ':memory:' }),
  worker: { handlers: handler(reports, ({ year }) => ({ pages: year - 2000 })) },
})
`

let folder = ''
let waybill: Waybill

beforeAll(async () => {
  folder = await createProgramFolder('own-routes', '')
  const [types, servers] = [await read('handlers.md'), await read('servers.md')]
  const files = { 'composition.ts': COMPOSITION, 'reports.ts': block(types, 'reports.ts') }
  const examples = ['own-fastify.ts', 'own-express.ts', 'own-hono.ts'].map(
    file => [file, block(servers, file)] as const,
  )
  for (const [file, code] of [...Object.entries(files), ...examples]) await writeFile(join(folder, file), code)
  const made = (await load('composition.ts')) as { composition: Waybill }
  waybill = made.composition
  await waybill.start()
})

afterAll(async () => {
  await waybill.stop()
  await rm(folder, { recursive: true, force: true })
})

type Ask = (method: string, path: string) => Promise<{ status: number; location: string | null; body: unknown }>

const SERVERS: Readonly<Record<string, (lab: TestContext) => Promise<Ask>>> = {
  Fastify: async lab => {
    const { app } = (await load('own-fastify.ts')) as { app: FastifyInstance }
    lab.onEnd(() => app.close())
    return async (method, url) => {
      const answer = await app.inject({ method: method as 'GET', url })
      const { statusCode: status, headers } = answer
      return { status, location: (headers.location as string | undefined) ?? null, body: answer.json() }
    }
  },
  Express: async lab => {
    const { app } = (await load('own-express.ts')) as { app: Express }
    const server = app.listen(0, '127.0.0.1')
    lab.onEnd(() => {
      server.closeAllConnections()
      return new Promise(resolve => server.close(resolve))
    })
    await once(server, 'listening')
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return async (method, path) => answerOf(await fetch(base + path, { method, redirect: 'manual' }))
  },
  Hono: async () => {
    const { app } = (await load('own-hono.ts')) as { app: Hono }
    return async (method, path) => answerOf(await app.request(path, { method }))
  },
}

test.for(Object.entries(SERVERS))(
  'a route of %s submits an operation that the API then serves',
  async ([, open], { lab }) => {
    const ask = await open(lab)
    const { status, location, body } = await ask('POST', '/year-end')
    const { id } = body as { id: string }
    expect([status, location]).toEqual([202, `/reports/status/${id}`])
    await hasFinished(waybill.store, id)
    const ended = await ask('GET', location ?? '')
    expect([ended.status, ended.location]).toEqual([303, `/reports/${id}`])
    expect((await ask('GET', `/reports/${id}`)).body).toMatchObject({ report: { pages: 26 } })
  },
)

async function answerOf(response: Response) {
  const { status, headers } = response
  return { status, location: headers.get('location'), body: (await response.json()) as unknown }
}

async function load(file: string): Promise<unknown> {
  return await import(join(folder, file))
}

function read(page: string): Promise<string> {
  return readFile(join(root, 'docs/guide', page), 'utf8')
}

function block(page: string, file: string): string {
  const [, code] = new RegExp(`^\`\`\`ts file=${file}\n(.*?)^\`\`\`$`, 'ms').exec(page) ?? []
  if (code === undefined) throw new Error(`There is no block ${file}.`)
  return code
}
