/** For operators: searches all operations, and moves whole operations from one store to another. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation } from '../../model/operation.ts'
import { inParallel } from '../../util/in-parallel.ts'
import { fitsQuery, idBounds, isFiltered, lowerAscii } from '../browsing.ts'
import type { BrowsePage, BrowseQuery, Dump, DumpPart } from '../store.ts'
import type { CosmosAccess } from './access.ts'
import { errorsOf, movedLinesOf, stepsOf, textOf } from './besides.ts'
import {
  type BesideItem,
  BODY_LIMIT,
  type Body,
  bodyFor,
  fits,
  freshBeside,
  freshItem,
  keyItemId,
  marked,
  newMark,
  type OperationItem,
  scopeOf,
  settleLog,
  sorted,
  within,
  withRecord,
} from './items.ts'
import type { QueryName } from './queries.ts'

/** How many operations one call reads: each costs request units. */
const LOOK_AT = 1000
/** Each conflict means that another process has written the same operation. */
const MOST_TURNS = 20

export async function browse(access: CosmosAccess, query: BrowseQuery): Promise<BrowsePage> {
  const { limit } = query
  const { name, parts, rest } = pathOf(query)
  // If only `createdBefore` skips operations, several small pages cost less than a large one.
  const most = isFiltered({ ...rest, createdBefore: undefined }) ? LOOK_AT : limit
  const { first = '', before } = idBounds(query)
  const seen = await access.records(name, { ...within(parts, before), after: sorted(...parts, first) }, most)
  const fits = await inParallel(seen, operation => isWanted(access, query, operation))
  const found = seen.filter((_, index) => fits[index])
  const operations = found.slice(0, limit)
  const last = operations.length === limit ? operations.at(-1) : seen.length === most ? seen.at(-1) : undefined
  const scanned = last === undefined ? seen.length : seen.findIndex(({ id }) => id === last.id) + 1
  return { operations, next: last?.id, scanned }
}

/** Whether an operation matches the query. The input is searched only if the record does not match. */
async function isWanted(access: CosmosAccess, query: BrowseQuery, operation: Operation): Promise<boolean> {
  if (fitsQuery(query, operation)) return true
  const { search = '', searchInputOf = [] } = query
  if (!searchInputOf.includes(operation.type) || !fitsQuery({ ...query, search: undefined }, operation)) return false
  const found = await access.operation(operation.id)
  const input = found && (await textOf(access, found.item.input))
  return input !== undefined && lowerAscii(input).includes(lowerAscii(search))
}

/** Chooses the property by which the query sorts, and the conditions that remain to be checked. */
function pathOf({ type, owner, status, ...rest }: BrowseQuery): {
  readonly name: QueryName
  readonly parts: readonly string[]
  readonly rest: BrowseQuery
} {
  if (type !== undefined && owner !== undefined) {
    const scope = scopeOf(type, owner)
    return status === undefined
      ? { name: 'list', parts: [scope], rest }
      : { name: 'listByStatus', parts: [scope, status], rest }
  }
  const open = { ...rest, type, owner }
  return status === undefined
    ? { name: 'browse', parts: [], rest: open }
    : { name: 'browseByStatus', parts: [status], rest: open }
}

export async function dump(access: CosmosAccess, after = '', limit: number): Promise<Dump[]> {
  const found = await access.items('dump', { after }, limit)
  return await inParallel(found, async ({ item }) => {
    const [input = null, output = null] = [await textOf(access, item.input), await textOf(access, item.output)]
    const steps = await stepsOf(access, item.steps)
    const moved = await movedLinesOf(access, item.log.parts)
    const errors = await errorsOf(access, item.errors)
    const missing: DumpPart[] = []
    if (item.input !== null && input === null) missing.push('input')
    if (item.output !== null && output === null) missing.push('output')
    if (steps.length < item.steps.length) missing.push('steps')
    if (moved.length < item.log.parts.length) missing.push('logs')
    if (errors.length < (item.errors?.length ?? 0)) missing.push('errors')
    return {
      operation: item.record,
      input,
      output,
      steps,
      logs: [...moved.flat(), ...item.log.tail],
      errors,
      purgeAt: item.purgeAt,
      ...(missing.length > 0 && { missing }),
    }
  })
}

export async function restore(access: CosmosAccess, dumps: readonly Dump[]): Promise<void> {
  await inParallel(dumps, one => restoreOne(access, one))
}

/** The order of writes is the usual one: first the items that another one names, and the key before its operation. */
async function restoreOne(access: CosmosAccess, dumped: Dump): Promise<void> {
  const { item, besides } = toItem(dumped, access.now(), access.blobs === undefined)
  await access.createBesides(besides)
  await takeKey(access, item.record)
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    if ((await access.create(item)) !== undefined) return
    const there = await access.operation(item.id)
    if (there === undefined) continue
    if ((await access.replace(item, there.etag)).kind === 'written') return
    await sleep(Math.random() * 10 * turn)
  }
  throw new Error(`The operation ${item.id} was changed by another process during its restore.`)
}

/** @throws if the key belongs to another operation */
async function takeKey(access: CosmosAccess, { id, type, owner, idempotencyKey }: Operation): Promise<void> {
  if (idempotencyKey === null) return
  const keyId = keyItemId(type, owner, idempotencyKey)
  if ((await access.create({ id: keyId, kind: 'key', operation: id })) !== undefined) return
  const key = await access.key(keyId)
  if (key?.item.operation === id) return
  throw new Error(`The idempotency key of the operation ${id} belongs to ${key?.item.operation ?? 'another one'}.`)
}

/**
 * The item of an operation, and the items that belong to it. These get new names, since such items are never changed.
 */
function toItem(dumped: Dump, now: number, limited: boolean): { item: OperationItem; besides: BesideItem[] } {
  const { operation, purgeAt, logs } = dumped
  const { id } = operation
  const [input, output] = (['input', 'output'] as const).map(kind => toBody(kind, id, dumped[kind], limited)) as [
    Made,
    Made,
  ]
  const steps = dumped.steps.map(([name, value]) => {
    checkSize(`outcome of step "${name}"`, id, value, limited)
    return { name, value: freshBeside('step', id, value) }
  })
  const errors = dumped.errors.map(({ attempt, error }) => {
    return { attempt, value: freshBeside('error', id, JSON.stringify(error)) }
  })
  const bare: OperationItem = {
    ...freshItem(operation, { text: '' }, id),
    input: input.body,
    output: output.body,
    steps: steps.map(({ name, value }) => ({ name, item: value.id })),
    errors: errors.map(({ attempt, value }) => ({ attempt, item: value.id })),
    log: { count: logs.length, parts: [], tail: logs },
    purgeAt,
  }
  const settled = settleLog(bare)
  const besides = [
    ...input.besides,
    ...output.besides,
    ...[...steps, ...errors].map(({ value }) => value),
    ...settled.besides,
  ]
  return { item: marked(withRecord(settled.item, operation, now), newMark()), besides }
}

interface Made {
  readonly body: Body | null
  readonly besides: readonly BesideItem[]
}

function toBody(kind: 'input' | 'output', id: string, text: string | null, limited: boolean): Made {
  if (text === null) return { body: null, besides: [] }
  checkSize(kind, id, text, limited)
  return bodyFor(kind, id, text)
}

/** @throws {RangeError} for a value that is too large for an item, if there is no blob store */
function checkSize(what: string, id: string, text: string, limited: boolean): void {
  if (!limited || fits(text)) return
  throw new RangeError(
    `The ${what} of the operation ${id} is too large: Cosmos DB takes ${BODY_LIMIT} bytes, and the store was made without "blobs".`,
  )
}
