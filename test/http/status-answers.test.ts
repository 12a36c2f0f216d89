import { describe, expect } from 'vitest'
import { defineOperation } from 'waybill'
import type { Dialect } from 'waybill/adapters'
import { redirect } from '../../src/http/dialects/redirect.ts'
import { json } from '../../src/http/message.ts'
import { type StatusAnswer, StatusAnswers } from '../../src/http/status-answers.ts'
import type { Operation } from '../../src/model/operation.ts'
import type { StatusDocument } from '../../src/model/protocol.ts'
import type { OperationStore } from '../../src/stores/store.ts'
import { accepted, byHeader, documentOf, type Served, serve } from '../support/http.ts'
import { test } from '../support/waybill.ts'

const orders = defineOperation({ name: 'orders', resultKey: 'order' })
const CLAIM = { holder: 'h', leaseMs: 60_000, execution: null } as const

async function poll({ app }: Served, id: string, headers: Record<string, string> = {}) {
  return await app.inject({ method: 'GET', url: `/orders/status/${id}`, headers })
}

/** Notes which records a read returned as they were named. */
function countUnchanged(store: OperationStore) {
  const counted = { unchanged: 0, whole: 0 }
  const read = store.read.bind(store)
  store.read = async (id, known) => {
    const operation = await read(id, known)
    counted[known !== undefined && operation === known ? 'unchanged' : 'whole']++
    return operation
  }
  return counted
}

describe('a status that is polled', () => {
  test('is answered from the last answer while nothing changes, and never after a change', async ({ lab }) => {
    const path = lab.file()
    const store = await lab.store(path)
    const counted = countUnchanged(store)
    // What changes it is another connection, as that of another process is.
    const other = await lab.store(path)
    const served = await serve(lab, [orders], { store })
    const id = await accepted(served, '/orders')
    const [first, second, third] = [await poll(served, id), await poll(served, id), await poll(served, id)]
    expect(third.body).toBe(first.body)
    expect({ ...third.headers, date: '' }).toEqual({ ...second.headers, date: '' })
    expect(counted).toMatchObject({ unchanged: 1 })
    await other.claim({ ...CLAIM, from: { id } })
    expect(documentOf(await poll(served, id))).toMatchObject({ status: 'running', attempt: 1 })
    for (const fraction of [0.1, 0.2]) {
      await other.change(id, { kind: 'progress', attempt: 1, progress: { fraction } })
      const answer = await poll(served, id)
      expect(documentOf(answer).progress).toEqual({ fraction })
    }
    await other.change(id, { kind: 'finish', attempt: 1, outcome: { kind: 'completed', output: '1' } })
    expect((await poll(served, id)).statusCode).toBe(303)
    expect((await poll(served, id)).statusCode).toBe(303)
  })

  test('is answered to its owner alone, with its own conditions and preferences', async ({ lab }) => {
    const served = await serve(lab, [orders], { principal: byHeader })
    const mine = { 'x-user': 'Ada' }
    const id = await accepted(served, '/orders', undefined, mine)
    for (let n = 0; n < 3; n++) expect((await poll(served, id, mine)).statusCode).toBe(200)
    expect((await poll(served, id, { 'x-user': 'Bob' })).statusCode).toBe(404)
    const { etag = '' } = (await poll(served, id, mine)).headers
    expect((await poll(served, id, { ...mine, 'if-none-match': String(etag) })).statusCode).toBe(304)
    const other = await poll(served, id, { ...mine, prefer: 'respond-async' })
    expect([other.statusCode, other.headers['preference-applied']]).toEqual([202, 'respond-async'])
    expect((await poll(served, id, mine)).headers).not.toHaveProperty('preference-applied')
  })

  for (const isRepeatable of [true, undefined]) {
    test(`calls a dialect of its own each time, unless it is repeatable: ${isRepeatable}`, async ({ lab }) => {
      let calls = 0
      const status: Dialect['status'] = async ({ document }) => json(200, { calls: ++calls, now: document.status })
      const dialect: Dialect = { ...redirect, isRepeatable: isRepeatable ?? false, status }
      const served = await serve(lab, [orders], { dialect })
      const id = await accepted(served, '/orders')
      for (let n = 0; n < 4; n++) expect((await poll(served, id)).json()).toMatchObject({ now: 'pending' })
      expect(calls).toBe(isRepeatable ? 2 : 4)
    })
  }
})

describe('the answers that are kept', () => {
  const of = (id: string, body: StatusAnswer['answer']['body'] = 'x'.repeat(200)): StatusAnswer => ({
    operation: { id } as Operation,
    document: { id } as StatusDocument,
    answer: { status: 200, headers: {}, body },
  })
  const fill = (answers: StatusAnswers, count: number) => {
    const ids = Array.from({ length: count }, () => crypto.randomUUID())
    // Two ids of one place displace each other, so a few are not kept.
    for (let round = 0; round < 2; round++) for (const id of ids) answers.set(of(id))
    return ids
  }

  test('are of operations that were asked for again', () => {
    const answers = new StatusAnswers()
    const [id, again] = [crypto.randomUUID(), of('')]
    answers.set(of(id))
    expect([answers.get(id), answers.bytes]).toEqual([undefined, 0])
    const second = { ...again, operation: { id } as Operation }
    answers.set(second)
    expect(answers.get(id)).toBe(second)
    expect(answers.delete(id)).toBe(true)
    expect([answers.get(id), answers.bytes]).toEqual([undefined, 0])
  })

  test('take a bounded number of bytes: the oldest are dropped', () => {
    const answers = new StatusAnswers(100_000)
    const [first, ...others] = fill(answers, 1000)
    expect(answers.bytes).toBeGreaterThan(90_000)
    expect(answers.bytes).toBeLessThanOrEqual(100_000)
    expect(answers.get(first ?? '')).toBeUndefined()
    expect(others.slice(-20).filter(id => answers.get(id) !== undefined).length).toBeGreaterThan(10)
    answers.set(of(others.at(-1) ?? '', 'y'.repeat(200_000)))
    expect(answers.bytes).toBe(0)
  })

  test('are whole texts', () => {
    const answers = new StatusAnswers()
    const id = crypto.randomUUID()
    for (const body of [null, (async function* () {})()]) {
      for (let n = 0; n < 2; n++) answers.set(of(id, body))
    }
    expect(answers.get(id)).toBeUndefined()
  })
})
