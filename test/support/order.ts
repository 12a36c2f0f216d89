/** Places orders and follows them over HTTP, and reads what the store has kept of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation, StatusDocument } from 'waybill'
import { sqliteStore } from 'waybill/stores/sqlite'

/** The article's order. */
export const ORDER = {
  customer: 'Contoso',
  items: [
    { name: 'Apple', quantity: 5 },
    { name: 'Banana', quantity: 3 },
  ],
}

const POLL_MS = 50

/** The request that places an order. */
export function orderRequest(order: unknown = ORDER, key?: string): RequestInit {
  const headers = { 'Content-Type': 'application/json', ...(key !== undefined && { 'Idempotency-Key': `"${key}"` }) }
  return { method: 'POST', headers, body: JSON.stringify(order) }
}

/** Places an order, which has to be accepted. Gives the URL of its status. */
export async function placeOrder(url: string, order: unknown = ORDER, key?: string): Promise<string> {
  const response = await fetch(`${url}/orders`, orderRequest(order, key))
  const location = response.headers.get('Location')
  const text = await response.text()
  if (response.status !== 202 || location === null) throw new Error(`POST answered ${response.status}: ${text}`)
  return new URL(location, url).href
}

/** The status document, whether the status URL answers with 200 or with 303. */
export async function readStatus(statusUrl: string): Promise<StatusDocument> {
  const response = await fetch(statusUrl, { redirect: 'manual' })
  if (response.status !== 200 && response.status !== 303) {
    throw new Error(`GET ${statusUrl} answered ${response.status}: ${await response.text()}`)
  }
  return (await response.json()) as StatusDocument
}

/** Asks until the status document is as wanted. */
export async function until(statusUrl: string, wanted: (document: StatusDocument) => boolean): Promise<StatusDocument> {
  for (;;) {
    const document = await readStatus(statusUrl)
    if (wanted(document)) return document
    await sleep(POLL_MS)
  }
}

/** Asks until a handler is at work: its first progress is there. */
export async function untilAtWork(statusUrl: string): Promise<StatusDocument> {
  return await until(statusUrl, ({ status, progress }) => status === 'running' && progress !== undefined)
}

/** Asks until the operation has ended. */
export async function untilFinal(statusUrl: string): Promise<StatusDocument> {
  return await until(statusUrl, ({ finishedAt }) => finishedAt !== undefined)
}

/** Everything of a type that a store file keeps, newest first. No other process needs to have it open. */
export async function storedOperations(file: string, type = 'orders'): Promise<readonly Operation[]> {
  const store = sqliteStore({ path: file, writer: 'inline' })
  await store.open()
  try {
    return await store.list({ type, owner: '', limit: 1000 })
  } finally {
    await store.close()
  }
}

/** The one operation that a store file keeps. */
export async function storedOperation(file: string, type = 'orders'): Promise<Operation> {
  const [operation, ...others] = await storedOperations(file, type)
  if (operation === undefined || others.length > 0) throw new Error(`${file} does not keep exactly one operation.`)
  return operation
}
