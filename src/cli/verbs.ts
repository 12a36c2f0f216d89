/** What an operator does to operations and types: `waybill cancel`, `retry`, `delete`, `pause` and `resume`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isFinal } from '../model/protocol.ts'
import { parseFilter } from '../operator/filter.ts'
import type { BulkAction, BulkRun, OperationView } from '../operator/views.ts'
import type { OperatorFilter } from '../stores/store.ts'
import { type Command, JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { actor, baseUrl, DESK_OPTIONS, type Desk, findId, withDesk } from './desk.ts'
import { fail, messageOf, print, printJson, time } from './output.ts'
import { ProgressLine } from './progress.ts'

/** What is said of an operation after the act. */
interface Done {
  readonly id: string
  readonly says: string
  readonly view?: OperationView
}

const VERB_OPTIONS = {
  ...DESK_OPTIONS,
  filter: {
    value: 'FILTER',
    help: 'all operations that match a filter, as in waybill ls; without --yes, only count them',
  },
  yes: { help: 'with --filter: act on the operations' },
  ...JSON_OPTION,
} as const

const POLL_MS = 300

export const cancel: Command = {
  name: 'cancel',
  operands: 'ID...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'cancel operations: a pending one at once, a running one by asking its handler to stop',
  options: VERB_OPTIONS,
  examples: [
    'waybill cancel 7f6aeb --store sqlite:./orders.db',
    'waybill cancel --filter "type:orders status:pending" --yes --url http://127.0.0.1:3000',
  ],
  run: given =>
    toEach(given, {
      action: 'cancel',
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
  summary: 'retry operations that failed or were canceled, each as a new operation',
  options: {
    ...VERB_OPTIONS,
    fresh: { help: 'run recorded steps again too' },
    handlers: { value: 'FILE', multiple: true, help: 'with --store: handler file, which defines the operation types' },
  },
  examples: [
    'waybill retry 7f6aeb --store sqlite:./orders.db --handlers ./processor.ts',
    'waybill retry --filter "status:failed problem:out-of-stock since:2h" --yes --url http://127.0.0.1:3000',
  ],
  run: given =>
    toEach(given, {
      action: 'retry',
      act: async (desk, id) => {
        const view = await desk.retry(id, actor(), { fresh: given.has('fresh') })
        return { id, view, says: `is retried by ${view.id}` }
      },
    }),
}

export const remove: Command = {
  name: 'delete',
  operands: 'ID...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'delete the inputs, results, steps and logs of finished operations',
  options: VERB_OPTIONS,
  examples: [
    'waybill delete 7f6aeb --store sqlite:./orders.db',
    'waybill delete --filter "owner:ann status:completed" --yes --url http://127.0.0.1:3000',
  ],
  run: given =>
    toEach(given, {
      action: 'delete',
      act: async (desk, id) => {
        await desk.delete(id, actor())
        return { id, says: 'deleted' }
      },
    }),
}

export const pause: Command = typeCommand('pause', {
  summary: 'pause operation types: no new work starts until they are resumed; running work continues',
  act: (desk, type) => desk.pause(type, actor()),
  done: 'paused',
})

export const resume: Command = typeCommand('resume', {
  summary: 'resume paused operation types',
  act: (desk, type) => desk.resume(type, actor()),
  done: 'resumed',
})

interface TypeVerb {
  readonly summary: string
  readonly act: (desk: Desk, type: string) => Promise<void>
  readonly done: string
}

function typeCommand(name: string, { summary, act, done }: TypeVerb): Command {
  return {
    name,
    operands: 'TYPE...',
    count: { min: 1, max: Number.POSITIVE_INFINITY },
    summary,
    options: { ...DESK_OPTIONS, ...JSON_OPTION },
    examples: [
      `waybill ${name} orders --store sqlite:./orders.db`,
      `waybill ${name} orders refunds --url http://127.0.0.1:3000`,
    ],
    run: given => {
      const actOnAll = async (desk: Desk) => {
        for (const type of given.operands) {
          await act(desk, type)
          if (given.has('json')) printJson({ type, paused: name === 'pause' })
          else print(`${type} ${done}`)
        }
        return 0
      }
      return withDesk(given, actOnAll, { named: given.operands })
    },
  }
}

interface Verb {
  readonly action: BulkAction
  readonly act: (desk: Desk, id: string) => Promise<Done>
}

/** Acts on the operations that are named, or on all that fit a filter. */
async function toEach(given: ParsedArgs, verb: Verb): Promise<number> {
  const filter = filterOf(given)
  if (filter === undefined) return await withDesk(given, desk => actOnEach(desk, given, verb.act, given.operands))
  if (!given.has('yes')) return await withDesk(given, desk => preview(desk, given, { action: verb.action, filter }))
  if (baseUrl(given) === undefined && verb.action !== 'retry') {
    return await withDesk(given, desk => actOnPages(desk, given, { ...verb, filter }))
  }
  if (baseUrl(given) === undefined && given.text('handlers') === undefined) {
    throw new UsageError('A store does not know the types of its operations: name their handler files by --handlers.')
  }
  return await withDesk(given, desk => actOnAll(desk, given, { action: verb.action, filter }), { works: true })
}

function filterOf(given: ParsedArgs): OperatorFilter | undefined {
  const text = given.text('filter')
  if (text === undefined && given.operands.length === 0)
    throw new UsageError('Name the operations: by ids, or by --filter.')
  if (text !== undefined && given.operands.length > 0) throw new UsageError('Give ids or --filter, not both.')
  return text === undefined ? undefined : parseFilter(text)
}

/** Says what became of each. Exits with 1 if it could not act on one of them. */
async function actOnEach(
  desk: Desk,
  given: ParsedArgs,
  act: Verb['act'],
  operands: readonly string[],
): Promise<number> {
  let code = 0
  for (const operand of operands) {
    const id = await findId(desk, operand)
    try {
      const { says, view = { id } } = await act(desk, id)
      if (given.has('json')) printJson(view)
      else print(`${id} ${says}`)
    } catch (error) {
      code = fail(`${id} ${messageOf(error)}`, 1)
    }
  }
  return code
}

interface Bulk {
  readonly action: BulkAction
  readonly filter: OperatorFilter
}

async function preview(desk: Desk, given: ParsedArgs, { action, filter }: Bulk): Promise<number> {
  const found = await desk.preview(action, filter)
  if (given.has('json')) return printJson(found)
  const { count, complete, sample } = found
  for (const { id, type, status, createdAt } of sample) print(`${id}  ${type}  ${status}  ${time(createdAt)}`)
  return print(
    `${complete ? count : `At least ${count}`} ${count === 1 ? 'operation matches' : 'operations match'}. Repeat the command with --yes to act.`,
  )
}

const PAGE = 500
const FITS: Readonly<Record<'cancel' | 'delete', (view: OperationView) => boolean>> = {
  cancel: ({ status }) => !isFinal(status),
  delete: ({ status, purged }) => isFinal(status) && !purged,
}

/**
 * Acts on all that fits, page by page. On a store this process works on no bulk run: it does not know the types, so that
 * it would skip the retries of a run that another process has left behind.
 */
async function actOnPages(desk: Desk, given: ParsedArgs, { action, act, filter }: Verb & Bulk): Promise<number> {
  const fits = action === 'delete' ? FITS.delete : FITS.cancel
  let code = 0
  let after: string | undefined
  do {
    const { items, next } = await desk.browse(filter, { limit: PAGE, after })
    const ids = items.filter(fits).map(({ id }) => id)
    code = Math.max(code, await actOnEach(desk, given, act, ids))
    after = next
  } while (after !== undefined)
  return code
}

/** Begins a bulk run and shows its progress. Where this is cut short, the run goes on in the other processes of the store. */
async function actOnAll(desk: Desk, given: ParsedArgs, { action, filter }: Bulk): Promise<number> {
  const line = new ProgressLine()
  let run = await desk.bulk(action, filter, actor())
  while (!isFinal(run.status)) {
    line.update({ status: `${run.done} done`, message: counts(run) })
    await sleep(POLL_MS)
    run = (await desk.bulkRun(run.id)) ?? run
  }
  line.end()
  if (given.has('json')) printJson(run)
  else print(`${run.id} ${run.status}: ${run.done} done, ${counts(run)}`)
  return run.status === 'completed' && run.failed === 0 ? 0 : 1
}

function counts({ skipped, failed }: BulkRun): string {
  return `${skipped} skipped, ${failed} failed`
}
