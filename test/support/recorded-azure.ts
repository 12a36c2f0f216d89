/** A server that replays recorded answers of Azure Resource Manager, and can be told to change one of them. */
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { ContainerAppsAPIClient } from '@azure/arm-appcontainers'
import {
  ENDED_EXECUTION,
  EXECUTION,
  RECORDED_EXECUTIONS,
  RECORDED_HEADERS,
  RECORDED_JOB,
  RECORDED_NOT_FOUND,
  RECORDED_START,
  recordedHeadersOf202,
  SUBSCRIPTION,
} from '../fixtures/azure/recorded.ts'
import { LOCALHOST } from './localhost-certificate.ts'
import type { TestContext } from './waybill.ts'

/** The documents that are answered with. */
export const RECORDED = {
  job: RECORDED_JOB as unknown,
  executions: RECORDED_EXECUTIONS as unknown,
  start: RECORDED_START as unknown,
  notFound: RECORDED_NOT_FOUND as unknown,
}

export type RecordedName = keyof typeof RECORDED

/** What a service sends where a property is not set. */
export type Emptiness = 'null' | 'absent'

/** A document in which one property is null or absent, and the path of that property. */
export interface Variant {
  readonly path: string
  readonly document: unknown
}

/** Every variant of a document, made by walking it: each property of each object once. */
export function variantsOf(document: unknown, emptiness: Emptiness): Variant[] {
  return pathsOf(document, []).map(path => {
    const copy: unknown = structuredClone(document)
    empty(copy, path, emptiness)
    return { path: path.join('.'), document: copy }
  })
}

function pathsOf(value: unknown, path: readonly string[]): string[][] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const here = [...path, key]
    // An element of an array is not a property: a service leaves it out, and sends no null for it.
    return [...(Array.isArray(value) ? [] : [here]), ...pathsOf(inner, here)]
  })
}

function empty(document: unknown, path: readonly string[], emptiness: Emptiness): void {
  const parent = path.slice(0, -1).reduce((at, key) => Reflect.get(at as object, key), document) as object
  const [last = ''] = path.slice(-1)
  if (emptiness === 'null') Reflect.set(parent, last, null)
  else Reflect.deleteProperty(parent, last)
}

export interface RecordedAzure {
  readonly client: ContainerAppsAPIClient
  /** Bodies of the starts that came, parsed. */
  readonly starts: unknown[]
  /** What is answered from now on. */
  documents: Record<RecordedName, unknown>
  /** How starts and stops are answered from now on. */
  status: 200 | 202
}

export async function recordedAzure(lab: TestContext): Promise<RecordedAzure> {
  const starts: unknown[] = []
  const server = createServer(LOCALHOST, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { pathname } = new URL(request.url ?? '', endpoint)
      if (pathname.endsWith('/start')) starts.push(JSON.parse(Buffer.concat(chunks).toString() || '{}'))
      const { status, body } = answerTo(pathname, azure)
      response.writeHead(status, { ...RECORDED_HEADERS, ...(status === 202 && recordedHeadersOf202(endpoint)) })
      response.end(body === undefined ? undefined : JSON.stringify(body))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  lab.onEnd(() => {
    server.closeAllConnections()
    return new Promise<void>(resolve => server.close(() => resolve()))
  })
  const endpoint = `https://localhost:${(server.address() as AddressInfo).port}`
  const credential = { getToken: async () => ({ token: 'a token', expiresOnTimestamp: Date.now() + 3_600_000 }) }
  const client = new ContainerAppsAPIClient(credential, SUBSCRIPTION, { endpoint, tlsOptions: { ca: LOCALHOST.cert } })
  const azure: RecordedAzure = { client, starts, documents: { ...RECORDED }, status: 202 }
  return azure
}

function answerTo(pathname: string, { documents, status }: RecordedAzure): { status: number; body?: unknown } {
  if (pathname.endsWith('/start')) return { status, body: documents.start }
  if (pathname.endsWith('/stop')) return { status }
  if (pathname.endsWith('/executions')) return { status: 200, body: documents.executions }
  const [, name] = /\/executions\/([^/]+)$/.exec(pathname) ?? []
  if (name === undefined) return { status: 200, body: documents.job }
  const index = [EXECUTION, ENDED_EXECUTION].indexOf(name)
  const all: unknown = Reflect.get(Object(documents.executions) as object, 'value')
  const found: unknown = (Array.isArray(all) ? all : RECORDED_EXECUTIONS.value)[index]
  return found === undefined ? { status: 404, body: documents.notFound } : { status: 200, body: found }
}
