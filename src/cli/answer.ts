/** `waybill answer`: what an operation waits for, and the answer to it. */

import { isFor, type Wait } from '../model/waits.ts'
import type { OperationDetail } from '../operator/views.ts'
import { plain } from '../util/plain-text.ts'
import { type Command, JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { actor, DESK_OPTIONS, type Desk, findId, withDesk } from './desk.ts'
import { readJson } from './json-text.ts'
import { columns, print, printJson, time } from './output.ts'

export const answer: Command = {
  name: 'answer',
  operands: 'ID [NAME JSON]',
  count: { min: 1, max: 3 },
  summary: 'list what an operation waits for; with a name and a value, answer the question or send the event',
  options: { ...DESK_OPTIONS, ...JSON_OPTION },
  notes: ['JSON is any JSON value; @FILE reads it from a file, - from standard input.'],
  examples: [
    'waybill answer 7f6aeb --store sqlite:./orders.db',
    'waybill answer 7f6aeb approval true --url http://127.0.0.1:3000',
    `waybill answer 7f6aeb booked '{"receipt":"R-17"}' --store sqlite:./orders.db`,
  ],
  run: runAnswer,
}

async function runAnswer(given: ParsedArgs): Promise<number> {
  const [operand = '', name, text] = given.operands
  if (name !== undefined && text === undefined) {
    throw new UsageError(`The value is missing: waybill answer ${operand} ${name} JSON, such as true or '{"a":1}'.`)
  }
  const value = text === undefined ? undefined : (JSON.parse(readJson(text)) as unknown)
  return await withDesk(given, async desk => {
    const id = await findId(desk, operand)
    const detail = await desk.get(id)
    if (detail === undefined) throw new Error(`There is no operation ${id}.`)
    return name === undefined ? list(detail, given) : await send(desk, detail, { name, value }, given)
  })
}

/** Prints what the operation waits for. */
function list({ id, waits, status }: OperationDetail, given: ParsedArgs): number {
  if (given.has('json')) return printJson(waits)
  if (waits.length === 0) return print(`${id} waits for nothing; its status is "${status}".`)
  for (const line of columns([['NAME', 'WAITS FOR', 'UNTIL', 'QUESTION'], ...waits.map(waitRow)])) print(line)
  for (const { name, schema } of waits) {
    if (schema !== undefined) print(`\nSchema of ${plain(name)}: ${plain(JSON.stringify(schema))}`)
  }
  return 0
}

const KINDS: Readonly<Record<Wait['kind'], string>> = {
  time: 'a time',
  event: 'an event',
  input: 'an answer',
  children: 'its children',
}

/** The columns of a wait. */
export function waitRow({ kind, name, until, message = '' }: Wait): string[] {
  return [plain(name), KINDS[kind], until === null ? '-' : time(until), plain(message)]
}

async function send(
  desk: Desk,
  { id, waits }: OperationDetail,
  event: { readonly name: string; readonly value: unknown },
  given: ParsedArgs,
): Promise<number> {
  const view = await desk.sendEvent(id, event, actor())
  if (given.has('json')) return printJson(view)
  const isAwaited = waits.some(wait => isFor(wait, event.name))
  return print(`${id} ${isAwaited ? 'took' : 'does not wait yet, and keeps'} "${event.name}"`)
}
