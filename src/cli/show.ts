/** `waybill show`: shows one operation with its attempts, its steps and the end of its log. */

import { redactUrl } from '../from-url/urls.ts'
import { type AttemptError, hasChildren, type Operation } from '../model/operation.ts'
import { NEVER_DUE, type Wait } from '../model/waits.ts'
import type { OperationView } from '../operator/views.ts'
import { attemptsOf } from '../service/attempts-of.ts'
import { openWaits } from '../service/events.ts'
import type { ChildCounts, LogLine, OperationStore, RecordedError, Store } from '../stores/store.ts'
import { plain } from '../util/plain-text.ts'
import { waitRow } from './answer.ts'
import { BLOBS_OPTION, type Command, JSON_OPTION, type ParsedArgs } from './command.ts'
import { baseUrl, browsing, DESK_OPTIONS, type Desk, findId, withDesk } from './desk.ts'
import { withBlobs, withStore } from './open.ts'
import { columns, print, printJson, short, span, time } from './output.ts'

const LOG_LINES = 20

export const show: Command = {
  name: 'show',
  operands: 'ID',
  count: { min: 1, max: 1 },
  summary: 'show one operation: its attempts and their errors, its steps, and the end of its log',
  options: {
    ...DESK_OPTIONS,
    ...BLOBS_OPTION,
    log: { value: 'N', help: `how many log lines, 0 to 1000 (default ${LOG_LINES})` },
    payloads: { help: 'also show the input, the output and the values of steps, which may be confidential' },
    ...JSON_OPTION,
  },
  examples: [
    'waybill show 7f6aeb --store sqlite:./orders.db',
    'waybill show 01941f29-7c00-7000-8000-000000000001 --payloads --json',
  ],
  run: showOne,
}

/** A record, or its view in the admin API. */
type ShownOperation = Omit<OperationView, 'tags' | 'retryOf' | 'retriedBy' | 'waits'> &
  Partial<Pick<Operation, 'released' | 'lost' | 'maxLost' | 'leaseUntil' | 'webhookDue'>>

/** The parts that are shown. */
interface Shown {
  readonly operation: ShownOperation
  readonly attempts: ReturnType<typeof attemptsOf>
  /** How many operations its handler has submitted, by their state; null if it has submitted none. */
  readonly children: ChildCounts | null
  /** What its handler waits for. */
  readonly waits: readonly Wait[]
  /** The names of the steps. */
  readonly steps: readonly string[]
  readonly log: readonly LogLine[]
  /** The errors of attempts. */
  readonly errors: readonly RecordedError[]
  /** JSON texts. */
  readonly payloads?: {
    readonly input: string | undefined
    readonly output: string | undefined
    readonly steps: Readonly<Record<string, string>>
  }
}

interface LookOptions {
  readonly lines: number
  readonly payloads: boolean
}

async function showOne(given: ParsedArgs): Promise<number> {
  const [text = ''] = given.operands
  const options = {
    lines: given.whole('log', { min: 0, max: 1000 }) ?? LOG_LINES,
    payloads: given.has('payloads'),
  }
  const base = baseUrl(given)
  const shown = await (base === undefined
    ? lookInStore(given, text, options)
    : withDesk(given, async desk => lookRemotely(desk, await findId(desk, text), options)))
  if (shown === undefined) throw new Error(`There is no operation ${text} in ${redactUrl(base ?? given.storeUrl())}.`)
  if (given.has('json')) return printJson(shown)
  for (const line of toLines(shown)) print(line)
  return 0
}

async function lookInStore(given: ParsedArgs, text: string, options: LookOptions): Promise<Shown | undefined> {
  const url = given.storeUrl()
  const cure = 'name its blob store with --blobs URL, or set WAYBILL_BLOBS.'
  const show = async (store: Store) => look(store, await findId(browsing(store), text), options)
  return await withBlobs(given.blobsUrl(), blobs => withStore(url, show, { blobs }), { cure })
}

async function lookRemotely(desk: Desk, id: string, { lines, payloads }: LookOptions): Promise<Shown | undefined> {
  const operation = await desk.get(id)
  if (operation === undefined) return undefined
  const { attempts, children, steps, waits } = operation
  const log = await desk.log(id)
  const shown = {
    operation,
    attempts,
    children,
    waits,
    steps: steps.map(({ name }) => name),
    log: log.slice(Math.max(0, log.length - lines)),
    errors: attempts.flatMap(({ number, thrown }) => (thrown === null ? [] : [{ attempt: number, error: thrown }])),
  }
  if (!payloads) return shown
  const [input, output] = [await desk.input(id), await desk.output(id)]
  return {
    ...shown,
    payloads: { input, output, steps: Object.fromEntries(steps.map(({ name, value }) => [name, value])) },
  }
}

async function look(store: OperationStore, id: string, { lines, payloads }: LookOptions): Promise<Shown | undefined> {
  const operation = await store.read(id)
  if (operation === undefined) return undefined
  const [steps, log, errors] = [await store.steps(id), await store.logs(id, 0), await store.errors(id)]
  const shown = {
    operation,
    attempts: attemptsOf(operation),
    children: hasChildren(operation) ? await store.countChildren(id) : null,
    waits: openWaits(operation),
    steps: [...steps.keys()],
    log: log.slice(Math.max(0, log.length - lines)),
    errors,
  }
  if (!payloads) return shown
  const [input, output] = [await store.readPayload(id, 'input'), await store.readPayload(id, 'output')]
  return { ...shown, payloads: { input, output, steps: Object.fromEntries(steps) } }
}

function toLines({ operation, attempts, children, waits, errors, steps, log, payloads }: Shown): string[] {
  return [
    ...columns(facts(operation, children).map(([name, value]) => [name, plain(value)])),
    ...section('Attempts', columns(attempts.map(attempt => attemptRow(attempt, errors)))),
    ...section('Waits for', columns(waits.map(waitRow))),
    ...section('Errors', errors.flatMap(errorLines)),
    ...section('Steps', steps.map(plain)),
    ...section(
      'Log',
      columns(log.map(({ at, attempt, level, message }) => [time(at), `#${attempt}`, level, plain(message)])),
    ),
    ...section('Input', textLines(payloads?.input)),
    ...section('Output', textLines(payloads?.output)),
    ...section(
      'Step values',
      Object.entries(payloads?.steps ?? {}).map(([name, value]) => plain(`${name}: ${value}`)),
    ),
  ]
}

function facts(operation: ShownOperation, children: ChildCounts | null): [name: string, value: string][] {
  const { error, progress, execution, engine, holder } = operation
  const all: [string, string][] = [
    ['id', operation.id],
    ['type', operation.type],
    ['owner', operation.owner],
    ['parent', operation.parent ?? ''],
    ['status', operation.cancelRequested ? `${operation.status}, asked to cancel` : operation.status],
    ['created', time(operation.createdAt)],
    ['due', operation.runAt === NEVER_DUE ? '' : time(operation.runAt)],
    ['started', time(operation.startedAt)],
    ['deadline', operation.finishedAt === null ? time(operation.deadline) : ''],
    ['finished', time(operation.finishedAt)],
    ['expires', operation.purged ? 'past its retention' : time(operation.expiresAt)],
    ['attempts', countAttempts(operation)],
    ['children', children === null ? '' : countStates(children)],
    ['holder', holder ?? ''],
    ['lease until', time(operation.leaseUntil ?? null)],
    ['engine', engine ?? ''],
    ['execution', execution ?? ''],
    ['progress', progress === null ? '' : JSON.stringify(progress)],
    ['error', error === null ? '' : `${error.code ?? error.title}: ${error.detail ?? error.title}`],
    ['webhook', operation.webhookDue ? 'due' : ''],
  ]
  return all.filter(([, value]) => value !== '')
}

function countStates({ unfinished, completed, failed, canceled }: ChildCounts): string {
  return `${unfinished} unfinished, ${completed} completed, ${failed} failed, ${canceled} canceled`
}

/** The admin API counts all attempts, and states how each has ended. */
function countAttempts({ attempt, maxAttempts, released, lost, maxLost }: ShownOperation): string {
  if (released === undefined || lost === undefined) return `${attempt} of ${maxAttempts}`
  return `${attempt - released - lost} of ${maxAttempts}, lost ${lost} of ${maxLost}, handed back ${released}`
}

function attemptRow(attempt: Shown['attempts'][number], errors: readonly RecordedError[]): string[] {
  const { number, startedAt, outcome, holder, execution, engine } = attempt
  const ended = 'finishedAt' in attempt
  const error = ended ? attempt.error : null
  // The problem is written for clients, who may not see more.
  const thrown = errors.find(it => it.attempt === number)?.error
  const reason = thrown === undefined ? (error?.detail ?? error?.title ?? '') : `${thrown.name}: ${thrown.message}`
  return [
    `#${number}`,
    time(startedAt),
    ended ? span(attempt.finishedAt - startedAt) : '',
    outcome,
    plain(engine ?? '-'),
    plain(execution ?? '-'),
    holder,
    short(reason, 200),
  ]
}

function errorLines({ attempt, error }: RecordedError): string[] {
  return linesOf(error).map((line, index) => (index === 0 ? `#${attempt}  ${line}` : `    ${line}`))
}

/** The stack as Node prints it, or the message if there is no stack; then the cause. */
function linesOf({ name, message, code, stack, cause }: AttemptError): string[] {
  const text = stack?.includes(message) ? stack : [`${name}: ${message}`, stack ?? ''].join('\n')
  const lines = text.split('\n').flatMap(line => (plain(line) === '' ? [] : [`${/^ */.exec(line)?.[0]}${plain(line)}`]))
  if (code !== undefined && !text.includes(code)) lines.push(`  code: ${plain(code)}`)
  if (cause === undefined) return lines
  return [...lines, ...linesOf(cause).map((line, index) => (index === 0 ? `caused by ${line}` : line))]
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map(line => `  ${line}`)]
}

function textLines(text: string | undefined): string[] {
  return text === undefined ? [] : [plain(text)]
}
