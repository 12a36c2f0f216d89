/**
 * A batch submits many operations of one type at once. The batch is an operation itself, and each of its items is an
 * operation too: a child of the batch.
 *
 * @example
 * export const orderBatches = batchOf(orders, { maxItems: 10_000 })
 */

import {
  type AnyOperationType,
  defineOperation,
  type OperationInput,
  type OperationType,
  type OperationTypeOptions,
  type StandardSchema,
} from './operation-type.ts'
import { type Checks, checkOptions, integer, UNCHECKED } from './options.ts'
import { jsonSchemaOf } from './standard-json-schema.ts'

type AnyOptions = OperationTypeOptions<string, unknown, unknown, string>

/** Options of {@link batchOf}. */
export interface BatchOptions {
  /** The most items of one batch, 1 to 100,000. Default 1,000. */
  readonly maxItems?: number | undefined
  /** The largest request body in bytes, 1 to 100 MiB. Default 16 MiB. */
  readonly bodyLimit?: number | undefined
  /**
   * How long the batch is kept after its end. Its items are kept for the retention of their own type. Default 7 days.
   */
  readonly retention?: AnyOptions['retention']
  /** The most unfinished batches of one caller, 1 to 10,000; further ones are answered with 429. Default: that of the type. */
  readonly inFlightLimit?: AnyOptions['inFlightLimit']
  /** How often a caller may submit a batch; further ones are answered with 429. Default: that of the type. */
  readonly rateLimit?: AnyOptions['rateLimit']
}

/** How the items of a batch have ended. */
export interface BatchSummary {
  readonly total: number
  readonly completed: number
  readonly failed: number
  readonly canceled: number
}

/** The operation type of batches whose items are of the type `T`. */
export type BatchType<T extends AnyOperationType> = OperationType<
  `${T['name']}/batches`,
  StandardSchema<readonly OperationInput<T>[]>,
  StandardSchema<BatchSummary>,
  'batch'
>

const OPTIONS: Checks<BatchOptions> = {
  maxItems: integer(1, 100_000),
  bodyLimit: UNCHECKED,
  retention: UNCHECKED,
  inFlightLimit: UNCHECKED,
  rateLimit: UNCHECKED,
}
const MIB = 1024 * 1024

/**
 * Declares the batches of an operation type, with the path `/{type}/batches`. List it beside the type itself in
 * `operations`; it needs no handler. A batch counts as one request: its limits are those of the type, or its own. When
 * it is accepted, all its items are.
 *
 * @throws {TypeError} for an unknown option, or one that is out of range; the message names it
 *
 * @example
 * const orderBatches = batchOf(orders)
 * await app.register(waybill, { operations: [orders, orderBatches], store, worker: { handlers: './processor.ts' } })
 */
export function batchOf<T extends AnyOperationType>(type: T, options: BatchOptions = {}): BatchType<T> {
  const where = `batchOf(${JSON.stringify(type.name)})`
  checkOptions(where, options, OPTIONS)
  const { maxItems = 1000, bodyLimit = 16 * MIB, retention } = options
  const { requireIdempotencyKey, allowWebhooks, rateLimit } = type.policy
  const batch = defineOperation({
    name: 'batches',
    input: itemsSchema(type, maxItems),
    output: SUMMARY,
    resultKey: 'batch',
    bodyLimit,
    retention,
    requireIdempotencyKey,
    allowWebhooks,
    inFlightLimit: options.inFlightLimit ?? type.policy.inFlightLimit,
    rateLimit: options.rateLimit ?? (rateLimit && { requests: rateLimit.requests, per: rateLimit.perMs }),
    // Each attempt continues where the previous one ended.
    attempts: 100,
    lostAttempts: 100,
    timeout: '1h',
  })
  return Object.freeze({ ...batch, name: `${type.name}/batches`, batchOf: type }) as unknown as BatchType<T>
}

/**
 * Only the size of a batch is checked here. An invalid item becomes an item that has failed; the batch is still
 * accepted.
 */
function itemsSchema(type: AnyOperationType, maxItems: number): StandardSchema {
  const written = { type: 'array', minItems: 1, maxItems, items: jsonSchemaOf(type.input, 'input') ?? {} }
  const expected = `It must be an array of 1 to ${maxItems} items.`
  const validate = (value: unknown) => {
    const isRight = Array.isArray(value) && value.length > 0 && value.length <= maxItems
    return isRight ? { value } : { issues: [{ message: expected }] }
  }
  return standardSchema(validate, written)
}

const COUNTS = ['total', 'completed', 'failed', 'canceled']
const SUMMARY: StandardSchema = standardSchema(value => ({ value }), {
  type: 'object',
  description: 'How the items of the batch have ended.',
  required: COUNTS,
  properties: Object.fromEntries(COUNTS.map(name => [name, { type: 'integer', minimum: 0 }])),
})

function standardSchema(validate: StandardSchema['~standard']['validate'], written: object): StandardSchema {
  const jsonSchema = { input: () => written, output: () => written }
  const standard = { version: 1 as const, vendor: 'waybill', validate, jsonSchema }
  return { '~standard': standard }
}
