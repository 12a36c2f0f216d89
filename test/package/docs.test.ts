/** The code of the documentation: each block is compiled under strict rules as it stands, and what it says of retries is run. */
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect } from 'vitest'
import { root as ROOT } from '../../scripts/tools.ts'
import type { Handler } from '../../src/model/handler.ts'
import type { AnyOperationType } from '../../src/model/operation-type.ts'
import { compile, createProgramFolder, moduleOf } from '../support/sample-program.ts'
import { hasFinished, submit, test } from '../support/waybill.ts'

const PAGES = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name.replaceAll('\\', '/')}`),
]

/** Blocks that cannot be compiled here, by a string in them, with the reason. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "from './api.ts'": 'its types are generated from a description; test/openapi/generated-client.test.ts runs it',
}

/** What blocks take from the program around them. A block's own imports and declarations come before these. */
const AROUND = `
  const app: import('fastify').FastifyInstance
  const waybill: typeof import('waybill/fastify').waybill
  const composition: import('waybill/server').Waybill
  const createWaybill: typeof import('waybill/server').createWaybill
  const defineOperation: typeof import('waybill').defineOperation
  const media: typeof import('waybill').media
  const store: import('waybill/adapters').Store
  const orders: typeof import('./orders.ts').orders
  const reports: typeof import('./reports.ts').reports
  const client: typeof import('waybill/client').client
  const fetchAndWait: typeof import('waybill/client').fetchAndWait
  const api: import('waybill/client').Client<{ readonly orders: typeof import('./orders.ts').orders }>
  const order: import('waybill/client').OperationHandle<unknown>
  const pool: import('pg').Pool
  const log: import('fastify').FastifyBaseLogger
  const createReadStream: typeof import('node:fs').createReadStream
  const rm: typeof import('node:fs/promises').rm
  const Webhook: typeof import('standardwebhooks').Webhook
  const sendInitialRequest: import('@azure/core-lro').RunningOperation['sendInitialRequest']
  const sendPollRequest: import('@azure/core-lro').RunningOperation['sendPollRequest']
  const Report: typeof import('./orders.ts').Order
  const input: object, cart: { readonly id: string }
  const token: string, subscriptionId: string, endpoint: string, secret: string, path: string
  const id: string, owner: string, rawBody: string, body: string, WAYBILL_STORE: string
  const headers: Readonly<Record<'webhook-id' | 'webhook-signature' | 'webhook-timestamp', string>>
  function download(year: number): Promise<readonly string[]>
  function typeset(rows: readonly string[], options: { signal: AbortSignal; idempotencyKey: string }): Promise<number>
  function render(report: unknown, signal: AbortSignal): Promise<string>
  function verify(header: string | undefined): Promise<{ readonly subject: string }>
  function seen(id: string): Promise<boolean>
  function enqueue(event: unknown): Promise<void>
  function show(status: string, fraction: number | undefined): void
`

interface Block {
  readonly page: string
  readonly line: number
  /** What it is called where others import it. */
  readonly file: string | undefined
  readonly code: string
}

let folder = ''

beforeAll(async () => {
  folder = await createProgramFolder('docs', AROUND)
})

afterAll(() => rm(folder, { recursive: true, force: true }))

test('every block of TypeScript in the README and in docs/ compiles under strict rules', async () => {
  const blocks = (await Promise.all(PAGES.map(blocksOf))).flat()
  expect(blocks.length).toBeGreaterThan(30)
  const left = blocks.filter(block => reasonOf(block) !== undefined)
  expect(left).toHaveLength(Object.keys(LEFT_OUT).length)
  for (const block of blocks)
    if (!left.includes(block)) await writeFile(join(folder, fileOf(block)), moduleOf(block.code))
  expect(await compile(folder)).toBe('')
})

test('a ProblemError with retryAfterMs is retried, as the guide says', async ({ lab }) => {
  const block = (await blocksOf('docs/guide/handlers.md')).find(({ file }) => file === 'transfers.ts')
  const file = join(folder, 'run-transfers.ts')
  await writeFile(file, block?.code ?? '')
  const { default: handlers } = (await import(file)) as { default: Handler }
  const waybill = await lab.waybill([handlers.type], { worker: { handlers } })
  const { status, history } = await hasFinished(waybill.store, await submit(waybill, handlers.type))
  expect(status).toBe('completed')
  expect(history).toMatchObject([{ outcome: 'failed', error: { status: 503, title: 'The bank is closed' } }, {}])
  const [first, second] = history
  expect((second?.startedAt ?? 0) - (first?.finishedAt ?? 0)).toBeGreaterThanOrEqual(300)
  expect(first?.error).not.toHaveProperty('retryAfterMs')
  expect(await readFile(join(ROOT, 'docs/reliability.md'), 'utf8')).toContain(
    /throw new ProblemError.*/.exec(block?.code ?? '')?.[0] ?? 'no such line',
  )
})

test('a parent adds up the results of its children, as the guide shows it', async ({ lab }) => {
  const block = (await blocksOf('docs/guide/children.md')).find(({ file }) => file === 'reports-by-region.ts')
  const file = join(folder, 'run-reports-by-region.ts')
  await writeFile(file, block?.code ?? '')
  const { default: handlers } = (await import(file)) as { default: readonly Handler[] }
  const waybill = await lab.waybill(
    handlers.map(({ type }) => type),
    { worker: { handlers } },
  )
  const id = await submit(waybill, handlers[0]?.type as AnyOperationType, { regions: ['north', 'south', 'east'] })
  await hasFinished(waybill.store, id)
  expect(JSON.parse((await waybill.store.readPayload(id, 'output')) ?? '')).toEqual({ orders: 14 })
  expect(await waybill.store.countChildren(id)).toMatchObject({ completed: 3 })
})

test('the tests for node:test on the page about testing pass', async () => {
  const block = (await blocksOf('docs/guide/testing.md')).find(({ file }) => file === 'greet.test.ts')
  const file = join(folder, 'run-greet.test.ts')
  await writeFile(file, block?.code ?? '')
  const { stdout } = await promisify(execFile)(process.execPath, ['--test', file])
  expect(stdout).toMatch(/pass 3\n.*fail 0\n/s)
})

test('the test on the page about testing passes', async () => {
  const block = (await blocksOf('docs/guide/testing.md')).find(({ file }) => file === 'totals-check.ts')
  const file = join(folder, 'run-totals-check.ts')
  await writeFile(file, block?.code ?? 'throw new Error("no such block")')
  await import(file)
})

async function blocksOf(page: string): Promise<Block[]> {
  const text = await readFile(join(ROOT, page), 'utf8')
  const found = text.matchAll(/^( *)```ts(?: file=(\S+))?\n(.*?)^ *```$/gms)
  return [...found].map(({ index, 1: indent = '', 2: file, 3: code = '' }) => {
    const line = text.slice(0, index).split('\n').length
    return { page, line, file, code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), '') }
  })
}

function reasonOf({ code }: Block): string | undefined {
  return Object.entries(LEFT_OUT).find(([text]) => code.includes(text))?.[1]
}

/** A name that says where the block stands, for the messages of the compiler. */
function fileOf({ page, line, file }: Block): string {
  return file ?? `${page.replaceAll(/\W/g, '-')}-line-${line}.ts`
}
