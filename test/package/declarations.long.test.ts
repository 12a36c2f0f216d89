/** The built declarations, as programs with other libraries than ours read them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { root as ROOT } from '../../scripts/tools.ts'
import { compile } from '../support/sample-program.ts'

const PROGRAM = `
import { defineOperation, handler } from 'waybill'
import { attach, client, fetchAndWait, OperationError } from 'waybill/client'

const orders = defineOperation({ name: 'orders', resultKey: 'order' })
const api = client({ orders }, { baseUrl: 'https://api.example.com', headers: () => ({ authorization: 'Bearer t' }) })

export default handler(orders, (_, job) => ({ stopped: job.signal.aborted }))
export async function place(input: unknown): Promise<unknown> {
  const order = await api.orders.submit(input)
  try {
    await fetchAndWait('https://api.example.com/orders', { method: 'POST', body: '{}', timeout: 1000 })
    return await attach(order.url, ({ response, retryAfter }) => [response.status, retryAfter])
  } catch (error) {
    if (error instanceof OperationError) return [error.code, error.response.status, error.response.url]
    throw error
  }
}
`

/** What the compiler says about the program. */
async function complaintsWith(options: object): Promise<string> {
  await mkdir(join(ROOT, 'data'), { recursive: true })
  const folder = await mkdtemp(join(ROOT, 'data', 'declarations-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const compilerOptions = { noEmit: true, strict: true, skipLibCheck: false, module: 'nodenext', ...options }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.mts'] }))
  await writeFile(join(folder, 'program.mts'), PROGRAM)
  return await compile(folder)
}

const TYPES = [
  ['those of Node', { target: 'es2022', lib: ['es2022'], types: ['node'] }],
  ['those of the language', { target: 'es2022', lib: ['es2022'], types: [] }],
] as const

test.each(TYPES)('the contract and the client need no more types than %s', async (_, options) => {
  expect(await complaintsWith(options)).toBe('')
})
