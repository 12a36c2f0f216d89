/** Applies a command to operations: to those that are named, or by a durable run to all that match a filter. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isFinal } from '../model/protocol.ts'
import { parseFilter } from '../operator/filter.ts'
import { passedOverText } from '../operator/pass-reasons.ts'
import type { BulkAction, BulkRun } from '../operator/views.ts'
import type { OperatorFilter } from '../stores/store.ts'
import { JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { actor, baseUrl, DESK_OPTIONS, type Desk, findId, withDesk } from './desk.ts'
import { fail, messageOf, print, printJson, time } from './output.ts'
import { ProgressLine } from './progress.ts'

/** The message about an operation after the act, and the output of `--json`. */
interface Done {
  readonly says: string
  readonly view: object
}

/** The action of a command. */
export interface Verb {
  readonly action: BulkAction
  readonly act: (desk: Desk, id: string) => Promise<Done>
}

export const VERB_OPTIONS = {
  ...DESK_OPTIONS,
  filter: {
    value: 'FILTER',
    help: 'all operations that match a filter, as in waybill ls; without --yes, only count them',
  },
  yes: { help: 'with --filter: act on the operations' },
  ...JSON_OPTION,
} as const

const POLL_MS = 300

/** Acts on the operations that are named, or on all that match a filter. */
export async function toEach(given: ParsedArgs, verb: Verb): Promise<number> {
  const { action } = verb
  const filter = filterOf(given)
  if (filter === undefined) return await withDesk(given, desk => actOnEach(desk, given, verb.act))
  if (given.has('fresh')) throw new UsageError('--fresh goes with ids. A retry by --filter keeps recorded steps.')
  if (!given.has('yes')) return await withDesk(given, desk => preview(desk, given, { action, filter }))
  if (baseUrl(given) === undefined && action === 'retry' && given.text('handlers') === undefined) {
    throw new UsageError('A store does not know the types of its operations: name their handler files by --handlers.')
  }
  return await withDesk(given, desk => actOnAll(desk, given, { action, filter }), { works: true })
}

function filterOf(given: ParsedArgs): OperatorFilter | undefined {
  const text = given.text('filter')
  if (text === undefined && given.operands.length === 0)
    throw new UsageError('Name the operations: by ids, or by --filter.')
  if (text !== undefined && given.operands.length > 0) throw new UsageError('Give ids or --filter, not both.')
  return text === undefined ? undefined : parseFilter(text)
}

/** Prints the outcome for each. Exits with 1 if the act failed for one of them. */
async function actOnEach(desk: Desk, given: ParsedArgs, act: Verb['act']): Promise<number> {
  let code = 0
  const report = ({ says, view }: Done, id: string) => (given.has('json') ? printJson(view) : print(`${id} ${says}`))
  for (const operand of given.operands) {
    const id = await findId(desk, operand)
    try {
      report(await act(desk, id), id)
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
  const { count, complete, sample, passedOver } = found
  for (const { id, type, status, createdAt } of sample) print(`${id}  ${type}  ${status}  ${time(createdAt)}`)
  const what = count === 1 ? 'operation matches' : 'operations match'
  print(`${complete ? count : `At least ${count}`} ${what}. Repeat the command with --yes to act.`)
  const passed = passedOverText(passedOver)
  return passed === undefined ? 0 : print(passed)
}

/**
 * Begins a bulk run and shows its progress. If this process ends early, other processes of the store continue the run.
 */
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
