/** What an operator does to operations: `waybill cancel`, `retry` and `delete`. */
import { type OperatorFilter, parseFilter } from '../operator/filter.ts'
import type { OperationView } from '../operator/views.ts'
import { type Command, JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { actor, DESK_OPTIONS, type Desk, findId, withDesk } from './desk.ts'
import { fail, messageOf, print, printJson } from './output.ts'

/** What is said of an operation after the act. */
interface Done {
  readonly id: string
  readonly says: string
  readonly view?: OperationView
}

const VERB_OPTIONS = {
  ...DESK_OPTIONS,
  filter: { value: 'FILTER', help: 'all that fit a filter, as of waybill ls; without --yes they are only counted' },
  yes: { help: 'with --filter: act on them' },
  ...JSON_OPTION,
} as const

/** All that fits, in pages that are not larger than what the admin API gives. */
const PAGE = 500

export const cancel: Command = {
  name: 'cancel',
  operands: 'ID...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'cancel operations: pending ones at once, running ones by a request that their handlers learn of',
  options: VERB_OPTIONS,
  examples: [
    'waybill cancel 7f6aeb --store sqlite:./orders.db',
    'waybill cancel --filter "type:orders status:pending" --yes --url http://127.0.0.1:3000',
  ],
  run: given =>
    toEach(given, {
      fits: ({ status }) => status === 'pending' || status === 'running',
      act: async (desk, id) => {
        const view = await desk.cancel(id, actor())
        return { id, view, says: view.status === 'running' ? 'asked to cancel' : view.status }
      },
    }),
}

export const retry: Command = {
  name: 'retry',
  operands: 'ID...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'run operations again that failed or were canceled, each as a new operation',
  options: {
    ...VERB_OPTIONS,
    fresh: { help: 'also run recorded steps again' },
    handlers: { value: 'FILE', multiple: true, help: 'with --store: handler file, which defines the types' },
  },
  examples: [
    'waybill retry 7f6aeb --store sqlite:./orders.db --handlers ./processor.ts',
    'waybill retry --filter "status:failed problem:out-of-stock since:2h" --yes --url http://127.0.0.1:3000',
  ],
  run: given =>
    toEach(given, {
      fits: ({ status, retriedBy }) => (status === 'failed' || status === 'canceled') && retriedBy === null,
      act: async (desk, id) => {
        const view = await desk.retry(id, actor(), { fresh: given.has('fresh') })
        return { id, view, says: `is run again by ${view.id}` }
      },
    }),
}

export const remove: Command = {
  name: 'delete',
  operands: 'ID...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'delete the inputs, results, steps and logs of operations that have ended, at once',
  options: VERB_OPTIONS,
  examples: [
    'waybill delete 7f6aeb --store sqlite:./orders.db',
    'waybill delete --filter "owner:ann status:completed" --yes --url http://127.0.0.1:3000',
  ],
  run: given =>
    toEach(given, {
      fits: ({ status, purged }) => !purged && status !== 'pending' && status !== 'running',
      act: async (desk, id) => {
        await desk.delete(id, actor())
        return { id, says: 'deleted' }
      },
    }),
}

interface Verb {
  /** Whether an operation that a filter has found can be acted on. */
  readonly fits: (view: OperationView) => boolean
  readonly act: (desk: Desk, id: string) => Promise<Done>
}

/** Acts on each operation, and says what became of it. Exits with 1 if it could not act on one of them. */
async function toEach(given: ParsedArgs, { fits, act }: Verb): Promise<number> {
  const filter = filterOf(given)
  return await withDesk(given, async desk => {
    if (filter !== undefined && !given.has('yes')) return await count(desk, filter, fits)
    const ids = filter === undefined ? findAll(desk, given.operands) : fitting(desk, filter, fits)
    let code = 0
    for await (const id of ids) {
      try {
        const { says, view = { id } } = await act(desk, id)
        if (given.has('json')) printJson(view)
        else print(`${id} ${says}`)
      } catch (error) {
        code = fail(`${id} ${messageOf(error)}`, 1)
      }
    }
    return code
  })
}

function filterOf(given: ParsedArgs): OperatorFilter | undefined {
  const text = given.text('filter')
  if (text === undefined && given.operands.length === 0)
    throw new UsageError('Name the operations: by ids, or by --filter.')
  if (text !== undefined && given.operands.length > 0) throw new UsageError('Give ids or --filter, not both.')
  return text === undefined ? undefined : parseFilter(text)
}

async function* findAll(desk: Desk, operands: readonly string[]): AsyncGenerator<string> {
  for (const operand of operands) yield await findId(desk, operand)
}

/** The ids of all that fits. The acts change what fits, so a page is read before the first of it is acted on. */
async function* fitting(desk: Desk, filter: OperatorFilter, fits: Verb['fits']): AsyncGenerator<string> {
  let after: string | undefined
  do {
    const { items, next } = await desk.browse(filter, { limit: PAGE, after })
    yield* items.filter(fits).map(({ id }) => id)
    after = next
  } while (after !== undefined)
}

async function count(desk: Desk, filter: OperatorFilter, fits: Verb['fits']): Promise<number> {
  let found = 0
  for await (const _ of fitting(desk, filter, fits)) found++
  return print(
    `${found} ${found === 1 ? 'operation fits' : 'operations fit'}. Repeat it with --yes to act on ${found === 1 ? 'it' : 'them'}.`,
  )
}
