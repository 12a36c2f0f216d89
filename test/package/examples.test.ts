/**
 * The `@example`s of doc comments in src. Each is compiled. One whose `console.log` calls are each followed by a
 * comment is also run, and must print what the comments say.
 */
import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect } from 'vitest'
import { handler, ProblemError } from 'waybill'
import { orders } from '../../examples/orders/orders.ts'
import { type Example, readExamples, readExportedValues } from '../../scripts/doc-comments.ts'
import { listen, serve } from '../support/http.ts'
import { compile, createProgramFolder, moduleOf } from '../support/sample-program.ts'
import { test } from '../support/waybill.ts'

/** What examples use without an import, beside all that the package exports. */
const GLOBALS = `
  const app: import('fastify').FastifyInstance
  const fastify: typeof import('fastify').fastify
  const express: typeof import('express')
  const server: import('node:http').Server
  const createServer: typeof import('node:http').createServer
  const Hono: new () => { all(path: string, answer: (c: { req: { raw: Request } }) => Promise<Response>): void }
  const spawn: typeof import('node:child_process').spawn
  const createReadStream: typeof import('node:fs').createReadStream
  const writeFileSync: typeof import('node:fs').writeFileSync
  const Pool: typeof import('pg').Pool
  const pool: import('pg').Pool
  const CosmosClient: typeof import('@azure/cosmos').CosmosClient
  const BlobServiceClient: typeof import('@azure/storage-blob').BlobServiceClient
  const QueueClient: typeof import('@azure/storage-queue').QueueClient
  const ContainerAppsAPIClient: typeof import('@azure/arm-appcontainers').ContainerAppsAPIClient
  const DefaultAzureCredential: typeof import('@azure/identity').DefaultAzureCredential
  const KubeConfig: typeof import('@kubernetes/client-node').KubeConfig
  const BatchV1Api: typeof import('@kubernetes/client-node').BatchV1Api
  const store: ReturnType<typeof sqliteStore>
  const submission: import('waybill/adapters').Submission
  const operation: import('waybill/adapters').Operation
  const now: number
  const myStore: (options: { readonly clock: () => number }) => ReturnType<typeof sqliteStore>
  const composition: ReturnType<typeof createWaybill>
  const orders: typeof import('./orders.ts').orders
  const operations: readonly (typeof orders)[]
  const Order: typeof import('./orders.ts').Order
  const CompletedOrder: typeof import('./orders.ts').CompletedOrder
  const api: import('waybill/client').Client<{ readonly orders: typeof orders }>
  const endpoint: string, subscriptionId: string, token: string
`

const EXAMPLES = readExamples()
const VALUES = readExportedValues()
/** The DOM has globals of these names. */
const TAKEN = ['Worker']

let folder = ''

beforeAll(async () => {
  const values = VALUES.filter(({ name }) => !TAKEN.includes(name))
  const declarations = new Map(
    values.map(({ entryPoint, name }) => [name, `const ${name}: typeof import('${entryPoint}').${name}`]),
  )
  folder = await createProgramFolder('examples', [...declarations.values(), GLOBALS].join('\n'))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

test('every example in a doc comment compiles', async () => {
  await Promise.all(EXAMPLES.map(example => writeFile(join(folder, nameOf(example)), moduleOf(example.code))))
  expect(await compile(folder)).toBe('')
})

test('every example that says what it prints prints it', async ({ lab }) => {
  const port = await listen(await serve(lab, [orders], { worker: { handlers: processor } }))
  const shown = EXAMPLES.filter(({ code }) => printedBy(code) !== undefined)
  expect(shown).not.toEqual([])
  for (const example of shown) {
    const code = example.code.replaceAll('https://api.example.com', `http://127.0.0.1:${port}`)
    await writeFile(join(folder, `run-${nameOf(example)}`), code)
  }
  // One after the other in one process, whose start takes longer than all of them.
  const programs = shown.map(example => `run-${nameOf(example)}`)
  const imports = programs.map(program => `console.log('=== ${program}'); await import('./${program}')`)
  await writeFile(join(folder, 'run-all.ts'), `${imports.join('\n')}\nexport {}\n`)
  const { stdout } = await promisify(execFile)(execPath, [join(folder, 'run-all.ts')], { cwd: folder })
  expect(stdout).toBe(programs.map((program, at) => `=== ${program}\n${printedBy(shown[at]?.code ?? '')}`).join(''))
})

/** A constant says by its sentence all that there is to say. */
const isConstant = (name: string) => /^[A-Z_]+$/.test(name)

test.each([...new Set(VALUES.map(({ entryPoint }) => entryPoint))])(
  'every value of %s has a first sentence, and each function an example',
  entryPoint => {
    const values = VALUES.filter(value => value.entryPoint === entryPoint)
    expect(values).not.toEqual([])
    const lacking = values.filter(({ comment }) => !/^[A-Z`].*?\.(\s|$)/s.test(comment?.description ?? ''))
    expect(lacking.map(({ name }) => name)).toEqual([])
    const unshown = values.filter(({ name, comment }) => !isConstant(name) && !comment?.examples.length)
    expect(unshown.map(({ name }) => name)).toEqual([])
  },
)

/** What the API does that examples call: there is everything in stock but unicorns. */
const processor = handler(orders, order => {
  if (order.items.some(({ name }) => name === 'Unicorn')) throw new ProblemError({ status: 409, title: 'Out of stock' })
  return { ...order, completedAt: '2026-01-01T00:00:00.000Z' }
})

/** A name that says where the example stands, for the messages of the compiler. */
function nameOf({ file, line, code }: Example): string {
  const index = EXAMPLES.filter(other => other.file === file && other.line === line).findIndex(
    other => other.code === code,
  )
  return `${file.replaceAll(/\W/g, '-')}-line-${line}-${index + 1}.ts`
}

/** What the comments after `console.log` say; undefined unless there is one after each. */
function printedBy(code: string): string | undefined {
  const printed = [...code.matchAll(/^.*console\.log\(.*\)(?: \/\/ (.*))?$/gm)].map(([, text]) => text)
  return printed.length > 0 && !printed.includes(undefined) ? printed.map(text => `${text}\n`).join('') : undefined
}
