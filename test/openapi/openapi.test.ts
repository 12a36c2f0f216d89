/** The document: what it says of operation types, and that others can read it. */
import type { ISpectralDiagnostic } from '@stoplight/spectral-core'
import Type from 'typebox'
import { Compile } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import { defineOperation } from 'waybill'
import { type OpenApiDocument, type OpenApiOptions, openApiDocument } from 'waybill/openapi'
import { z } from 'zod'
import { orders } from '../../examples/orders/orders.ts'
import { PROBLEMS } from '../../src/model/problem-kinds.ts'
import { onlyLong } from '../support/length.ts'

const exportsType = defineOperation({
  name: 'pdf-exports',
  input: Type.Object({ pages: Type.Array(Type.Integer(), { minItems: 1 }), title: Type.Optional(Type.String()) }),
  output: Type.Object({ url: Type.String({ format: 'uri' }) }),
  allowWebhooks: true,
  exposeLogs: true,
  requireIdempotencyKey: true,
  rateLimit: { requests: 10, per: '1m' },
})
const EVERYTHING: OpenApiOptions = {
  title: 'Orders',
  version: '2.1.0',
  base: 'https://api.example.org/v2',
  listing: true,
  security: { token: { type: 'http', scheme: 'bearer' } },
}

/** Loads Spectral, which is large, only where it is used. */
async function lint(document: unknown): Promise<ISpectralDiagnostic[]> {
  const { default: spectralCore } = await import('@stoplight/spectral-core')
  const { default: spectralRulesets } = await import('@stoplight/spectral-rulesets')
  const spectral = new spectralCore.Spectral()
  spectral.setRuleset({ extends: [[spectralRulesets.oas, 'recommended']] } as never)
  return await spectral.run(JSON.stringify(document))
}

function operationAt(document: OpenApiDocument, method: 'get' | 'post' | 'delete', path: string) {
  const operation = document.paths[path]?.[method]
  if (operation === undefined) throw new Error(`The document has no ${method} ${path}.`)
  return operation
}

/** A check of values against a component. */
function checkerOf({ components }: OpenApiDocument, name: string) {
  return Compile({ $ref: `#/components/schemas/${name}`, components: { schemas: components.schemas } } as object)
}

onlyLong(() => {
  describe('Spectral finds nothing', () => {
    const oddities = defineOperation({
      name: 'a-1--',
      input: { $id: 'https://example.org/tree', $defs: { 'no de': { type: 'object' } }, $ref: '#/$defs/no%20de' },
      output: z.object({ at: z.date() }),
      backlogLimit: 1,
    })

    const VARIANTS: readonly [string, OpenApiOptions][] = [
      ['with everything', EVERYTHING],
      ['by default', {}],
      ['with results that are not JSON', { blobs: true }],
      ['in the accepted dialect', { dialect: 'accepted', listing: true, metrics: false }],
    ]

    test.each(VARIANTS)('%s', async (_, options) => {
      expect(await lint(openApiDocument([orders, exportsType, oddities], options))).toEqual([])
    })

    test('finds a fault that was added', async () => {
      const { info: _, ...faulty } = openApiDocument([orders])
      const found = await lint(faulty)
      expect(found.map(({ path }) => path.join('.'))).toContain('')
    })
  })
})()

describe('names', () => {
  test('of operations do not change', () => {
    const document = openApiDocument([orders, exportsType], EVERYTHING)
    const ids = Object.values(document.paths).flatMap(item => Object.values(item).map(it => it.operationId))
    expect(ids).toEqual([
      ...['listOrders', 'submitOrders', 'getOrdersStatus', 'cancelOrders', 'getOrdersResult'],
      ...['listPdfExports', 'submitPdfExports', 'getPdfExportsStatus', 'cancelPdfExports', 'getPdfExportsResult'],
      ...['getOperation', 'deleteOperation', 'retryOperation', 'stopOperation'],
      ...['getWait', 'sendEvent', 'sendCallback', 'listDeliveries', 'redeliver'],
      ...['getHealth', 'getReadiness', 'getMetrics', 'getOpenApi', 'getDocs'],
    ])
  })

  test('are unique, however similar the names of the types are', () => {
    const names = ['a1', 'a-1', 'a--1', 'a-b', 'ab', 'operation', 'openapi', 'service', 'problem', 'input', 'failed']
    const document = openApiDocument(names.map(name => defineOperation({ name })))
    const ids = Object.values(document.paths).flatMap(item => Object.values(item).map(it => it.operationId))
    expect(new Set(ids).size).toBe(ids.length)
    const results = Object.keys(document.components.schemas).filter(name => name.endsWith('Result'))
    expect(results).toHaveLength(names.length)
    expect(new Set(document.tags.map(({ name }) => name)).size).toBe(document.tags.length)
  })
})

describe('schemas of users', () => {
  const input = (schema: object) => openApiDocument([defineOperation({ name: 'things', input: schema })])

  test('of Zod describe the input and the output', () => {
    const Padded = z.object({ text: z.string().default('none') })
    const document = openApiDocument([defineOperation({ name: 'things', input: Padded, output: Padded })])
    expect(document.components.schemas).toMatchObject({
      ThingsInput: { properties: { text: { type: 'string', default: 'none' } } },
      ThingsOutput: { required: ['text'] },
    })
    expect(document.components.schemas.ThingsInput).not.toHaveProperty('required')
    expect(JSON.stringify(document)).not.toContain('$schema')
  })

  test('keep their shared parts, and recursive parts', () => {
    const Money = z.object({ cents: z.int() }).meta({ id: 'Money' })
    const Tree = z.object({
      cost: Money,
      tax: Money,
      get children() {
        return z.array(Tree)
      },
    })
    const check = checkerOf(input(z.object({ tree: Tree })), 'ThingsInput')
    const leaf = { cost: { cents: 1 }, tax: { cents: 2 }, children: [] }
    expect(check.Check({ tree: { ...leaf, children: [leaf] } })).toBe(true)
    expect(check.Check({ tree: { ...leaf, children: [{ ...leaf, cost: { cents: 'one' } }] } })).toBe(false)
    expect(checkerOf(input(Tree), 'ThingsInput').Check({ ...leaf, children: [{}] })).toBe(false)
  })

  test('of TypeBox find the parts of their module', () => {
    const { Node } = Type.Module({ Node: Type.Object({ value: Type.Number(), next: Type.Optional(Type.Ref('Node')) }) })
    const check = checkerOf(input(Node), 'ThingsInput')
    expect(check.Check({ value: 1, next: { value: 2 } })).toBe(true)
    expect(check.Check({ value: 1, next: { value: 'two' } })).toBe(false)
  })

  test('of plain JSON Schema find parts by pointer, name and anchor', () => {
    const document = input({
      $id: 'https://example.org/root.json',
      type: 'object',
      properties: {
        byPointer: { $ref: '#/$defs/a~1b/properties/n' },
        byName: { $ref: 'part.json' },
        byAnchor: { $ref: '#word' },
        byPath: { $ref: '#/properties/byWord' },
        byWord: { $anchor: 'word', type: 'string' },
        $ref: { type: 'boolean' },
        elsewhere: { $ref: 'https://example.com/other.json' },
      },
      $defs: {
        'a/b': { type: 'object', properties: { n: { type: 'integer' } } },
        part: { $id: 'part.json', $ref: '#/$defs/inner', $defs: { inner: { type: 'null' } } },
      },
    })
    expect(document.components.schemas.ThingsInput).toEqual({
      type: 'object',
      properties: {
        byPointer: { $ref: '#/components/schemas/ThingsInput.a_b/properties/n' },
        byName: { $ref: '#/components/schemas/ThingsInput.part' },
        byAnchor: { $ref: '#/components/schemas/ThingsInput/properties/byWord' },
        byPath: { $ref: '#/components/schemas/ThingsInput/properties/byWord' },
        byWord: { type: 'string' },
        $ref: { type: 'boolean' },
        elsewhere: { $ref: 'https://example.com/other.json' },
      },
    })
    expect(document.components.schemas['ThingsInput.part']).toEqual({
      $ref: '#/components/schemas/ThingsInput.part/$defs/inner',
      $defs: { inner: { type: 'null' } },
    })
  })

  test.each([
    ['that JSON cannot express', z.object({ at: z.date() })],
    ['without JSON Schema', { '~standard': { version: 1, vendor: 'mine', validate: (value: unknown) => ({ value }) } }],
    ['that are not there', undefined],
  ])('%s allow everything', (_, schema) => {
    const document = openApiDocument([defineOperation({ name: 'things', input: schema as never })])
    expect(document.components.schemas.ThingsInput).toEqual({ description: expect.any(String) })
  })
})

describe('examples of inputs', () => {
  const exampleFor = (schema: object) => {
    const document = openApiDocument([defineOperation({ name: 'things', input: schema })])
    return operationAt(document, 'post', '/things').requestBody?.content['application/json']?.example
  }

  test.each<[string, object, unknown]>([
    ['limits', z.object({ n: z.int().min(5).multipleOf(4), s: z.string().min(3) }), { n: 8, s: 's..' }],
    [
      'formats',
      z.object({ mail: z.email(), at: z.iso.datetime() }),
      { mail: 'ada@example.com', at: '2026-11-30T12:00:00Z' },
    ],
    [
      'choices',
      z.discriminatedUnion('kind', [z.object({ kind: z.literal('a'), n: z.null() })]),
      { kind: 'a', n: null },
    ],
    [
      'parts together',
      Type.Intersect([Type.Object({ a: Type.Boolean() }), Type.Object({ b: Type.Literal(2) })]),
      { a: true, b: 2 },
    ],
    ['tuples', Type.Object({ pair: Type.Tuple([Type.Number(), Type.String()]) }), { pair: [1, 'pair'] }],
    ['their own', z.object({ name: z.string() }).meta({ examples: [{ name: 'Ada' }] }), { name: 'Ada' }],
    ['nothing at all', {}, {}],
  ])('satisfy %s', (_, schema, example) => {
    expect(exampleFor(schema)).toEqual(example)
  })

  test('are left out if they cannot be guessed', () => {
    expect(exampleFor(z.object({ code: z.string().regex(/^[A-Z]{3}-\d{4}$/) }))).toBeUndefined()
    const endless = { $defs: { a: { type: 'object', required: ['a'], properties: { a: { $ref: '#/$defs/a' } } } } }
    expect(exampleFor({ ...endless, $ref: '#/$defs/a' })).toBeUndefined()
  })
})

describe('an operation type', () => {
  const document = openApiDocument([orders, exportsType], EVERYTHING)

  test('has webhooks as callbacks only if it allows them', () => {
    const submit = operationAt(document, 'post', '/pdf-exports')
    expect(submit.callbacks?.ended?.['{$request.header.Webhook-Url}']?.post?.requestBody?.content).toMatchObject({
      'application/json': { example: { type: 'pdf_exports.completed' } },
    })
    expect(submit.parameters).toContainEqual({ $ref: '#/components/parameters/WebhookUrl' })
    const plain = operationAt(document, 'post', '/orders')
    expect(plain.callbacks).toBeUndefined()
    expect(plain.parameters).not.toContainEqual({ $ref: '#/components/parameters/WebhookUrl' })
    const without = openApiDocument([exportsType], { allowWebhooks: false })
    expect(operationAt(without, 'post', '/pdf-exports').callbacks).toBeUndefined()
    expect(without.paths['/operations/{id}/deliveries']).toBeUndefined()
  })

  test('has its limits and its idempotency key', () => {
    const limited = operationAt(document, 'post', '/pdf-exports')
    expect(Object.keys(limited.responses)).toContain('429')
    expect(limited.parameters?.[0]).toMatchObject({ name: 'Idempotency-Key', required: true })
    const free = operationAt(document, 'post', '/orders')
    expect(Object.keys(free.responses)).not.toContain('429')
    expect(free.parameters?.[0]).toEqual({ $ref: '#/components/parameters/IdempotencyKey' })
  })

  test('links an accepted operation to its status, result, cancel and monitor', () => {
    const { links } = operationAt(document, 'post', '/orders').responses[202] ?? {}
    const targets = Object.values(links ?? {}).map(({ operationId }) => operationId)
    expect(targets).toEqual(['getOrdersStatus', 'getOrdersResult', 'cancelOrders', 'getOperation'])
    expect(links?.status?.parameters).toEqual({ id: '$response.body#/id' })
  })

  test('answers in the dialect of the API', () => {
    const statuses = (dialect: 'redirect' | 'accepted', method: 'get' | 'delete') =>
      Object.keys(operationAt(openApiDocument([orders], { dialect }), method, '/orders/status/{id}').responses).map(
        Number,
      )
    expect(statuses('redirect', 'get')).toContain(303)
    expect(statuses('accepted', 'get')).not.toContain(303)
    expect(statuses('redirect', 'delete')).toContain(200)
    expect(statuses('accepted', 'delete')).not.toContain(200)
  })

  test('has a list only if the API has one', () => {
    expect(document.paths['/orders']?.get?.operationId).toBe('listOrders')
    expect(openApiDocument([orders]).paths['/orders']?.get).toBeUndefined()
  })
})

describe('problems', () => {
  const document = openApiDocument([orders, exportsType], EVERYTHING)

  test('are described with the responses of their status code', () => {
    for (const item of Object.values(document.paths)) {
      for (const { responses } of Object.values(item)) {
        for (const [status, { content = {} }] of Object.entries(responses)) {
          for (const name of Object.keys(content['application/problem+json']?.examples ?? {})) {
            expect([name, String(PROBLEMS[name as keyof typeof PROBLEMS].status)]).toEqual([name, status])
          }
        }
      }
    }
  })

  test('carry the title and the cure of the table', () => {
    for (const [name, { summary, description }] of Object.entries(document.components.examples)) {
      const { title, cure } = PROBLEMS[name.replace('result.', '') as keyof typeof PROBLEMS]
      expect({ summary, description }).toEqual({ summary: title, description: cure })
    }
  })
})

test('the security of the API applies to its routes, except for the public ones', () => {
  const document = openApiDocument([orders], EVERYTHING)
  expect(document.security).toEqual([{ token: [] }])
  expect(Object.keys(operationAt(document, 'get', '/orders/{id}').responses)).toEqual(
    expect.arrayContaining(['401', '403']),
  )
  expect(operationAt(document, 'get', '/healthz')).toMatchObject({ security: [] })
  expect(Object.keys(operationAt(document, 'get', '/healthz').responses)).not.toContain('401')
})

test('an invalid base is refused as in the API', () => {
  expect(() => openApiDocument([orders], { maxWait: 'soon' as never })).toThrow(TypeError)
})
