/** A client that is generated from the document: its types are right, its types are checked, and it works. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { handler } from 'waybill'
import { waybill } from 'waybill/fastify'
import { sqliteStore } from 'waybill/stores/sqlite'
import { orders } from '../../examples/orders/orders.ts'
import { onlyLong } from '../support/length.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const TOOLS = `${root}toolchain/node_modules`
const GENERATOR = `${TOOLS}/openapi-typescript/bin/cli.js`
const COMPILER = `${TOOLS}/typescript/bin/tsc`
const PROGRAM = readFileSync(new URL('../fixtures/openapi/program.ts.txt', import.meta.url), 'utf8')

const folder = mkdtempSync(join(tmpdir(), 'waybill-openapi-'))
const app = Fastify()
let url = ''

/** Runs a program of Node to its end. */
async function node(...args: readonly string[]) {
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await once(child, 'close')
  const [stdout, stderr] = await output
  return { code: Number(code), stdout, stderr }
}

/** Generates the types, and checks programs against them: the complaints of the compiler. */
async function compile(programs: Readonly<Record<string, string>>): Promise<string> {
  const { code, stderr } = await node(GENERATOR, 'openapi.json', '-o', 'api.ts')
  if (code !== 0) throw new Error(stderr)
  for (const [name, program] of Object.entries(programs)) writeFileSync(join(folder, name), program)
  const options = ['--strict', '--noEmit', '--allowImportingTsExtensions', '--skipLibCheck', '--types', 'node']
  const target = ['--target', 'es2024', '--module', 'nodenext', '--exactOptionalPropertyTypes']
  return (await node(COMPILER, ...options, ...target, ...Object.keys(programs))).stdout
}

/** What is wrong with a program: what to put in the place of what, and a part of the complaint. */
const WRONG = [
  ['an input with an unknown member', "customer: 'Ada'", "client: 'Ada'", "'client' does not exist"],
  ['an input of the wrong type', 'quantity: 2', "quantity: 'two'", "'string' is not assignable to type 'number'"],
  ['an input without a member', "customer: 'Ada', ", '', "'customer' is missing"],
  ['a result that has no such member', 'order.completedAt', 'order.finishedAt', "'finishedAt' does not exist"],
  ['a status document that has no such member', 'data.retryAfter', 'data.retryAt', "'retryAt'"],
  ['a path that is not there', "POST('/orders'", "POST('/order'", `"/order"`],
  ['a missing parameter', '{ params: { path: { id } } }', '{}', "'params' is missing"],
] as const

beforeAll(async () => {
  const handlers = handler(orders, order => ({ ...order, completedAt: new Date().toISOString() }))
  const store = sqliteStore({ path: ':memory:' })
  await app.register(waybill, { operations: [orders], store, worker: { handlers } })
  url = await app.listen({ port: 0, host: '127.0.0.1' })
  // Packages are found from here as from a user's project, which has these installed.
  symlinkSync(`${root}node_modules`, join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'openapi.json'), await (await fetch(`${url}/openapi.json`)).text())
  writeFileSync(join(folder, 'program.ts'), PROGRAM)
})

afterAll(async () => {
  await app.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('a generated client', () => {
  onlyLong(() => {
    test('compiles, but not with inputs that the document does not allow', async () => {
      const wrong = WRONG.map(([, right, changed], index) => {
        expect(PROGRAM).toContain(right)
        return [`wrong-${index}.ts`, PROGRAM.replaceAll(right, changed)] as const
      })
      const programs = { 'program.ts': PROGRAM, ...Object.fromEntries(wrong) }
      const complaints = (await compile(programs)).split(/^(?=\S+\()/m)
      expect(complaints.filter(complaint => !complaint.startsWith('wrong-'))).toEqual([])
      for (const [index, [what, , , named]] of WRONG.entries()) {
        const own = complaints.filter(complaint => complaint.startsWith(`wrong-${index}.ts(`))
        expect(own.join(''), what).toContain(named)
      }
    })
  })()

  test('completes an order', async () => {
    const { stdout, stderr } = await node('program.ts', url)
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual({
      customer: 'Ada',
      quantity: 2,
      completedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      pointers: ['/customer', '/items'],
      code: 'operation-finished',
      percent: 100,
    })
  })
})
