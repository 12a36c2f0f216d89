/** `waybill submit`: starts an operation, by a POST or in a store. */
import { fetchAndWait } from '../client/client.ts'
import { storeFromUrl } from '../from-url/store-from-url.ts'
import { createWaybill } from '../waybill.ts'
import { BLOBS_OPTION, type Command, JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { baseUrl, DESK_OPTIONS, headersOf } from './desk.ts'
import { follow, reportEnd, shownOf, showResult } from './follow.ts'
import { namedHandlers } from './handler-files.ts'
import { readJson } from './json-text.ts'
import { namedBlobs } from './open.ts'
import { print, printJson } from './output.ts'
import { ProgressLine } from './progress.ts'
import { problemOf } from './remote-operator.ts'

export const submit: Command = {
  name: 'submit',
  operands: 'TYPE|URL',
  count: { min: 1, max: 1 },
  summary: 'start an operation by a POST to an API, or in a store; with --wait, print its result',
  options: {
    ...DESK_OPTIONS,
    ...BLOBS_OPTION,
    data: { value: 'JSON', help: 'the input, or @FILE, or - for standard input (default {})' },
    wait: { help: 'wait for the end, show the progress and print the result' },
    key: { value: 'KEY', help: 'idempotency key: a second submit with the same key starts nothing' },
    delay: { value: 'TIME', help: 'how long to wait before the work begins, such as 2h' },
    owner: { value: 'OWNER', help: 'with --store: owner of the operation (default: none)' },
    handlers: { value: 'FILE', multiple: true, help: 'with --store: handler file, which defines the operation type' },
    ...JSON_OPTION,
  },
  examples: [
    `waybill submit http://127.0.0.1:3000/greetings --data '{"name":"Ada"}' --wait`,
    'waybill submit orders --url http://127.0.0.1:3000 --data @order.json --key order-17',
    'waybill submit orders --store sqlite:./orders.db --handlers ./processor.ts --data @order.json --delay 2h',
  ],
  run: runSubmit,
}

async function runSubmit(given: ParsedArgs): Promise<number> {
  const [operand = ''] = given.operands
  const base = baseUrl(given)
  const text = readJson(given.text('data') ?? '{}', '--data')
  if (/^https?:/.test(operand)) return await submitByPost(operand, text, given)
  if (base !== undefined) return await submitByPost(`${base.replace(/\/+$/, '')}/${operand}`, text, given)
  return await submitToStore(operand, text, given)
}

async function submitByPost(url: string, body: string, given: ParsedArgs): Promise<number> {
  const [key, delay] = [given.text('key'), given.duration('delay')]
  const init = {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      ...(key !== undefined && { 'idempotency-key': JSON.stringify(key) }),
      ...(delay !== undefined && { 'not-before': new Date(Date.now() + delay).toISOString() }),
      ...headersOf(given),
    },
  }
  if (given.has('wait')) {
    const line = new ProgressLine()
    return await showResult(
      fetchAndWait(url, init, poll => line.update(shownOf(poll))),
      line,
    )
  }
  const response = await fetch(url, init)
  const text = await response.text()
  if (!response.ok) throw problemOf(response, text)
  if (given.has('json')) return print(text)
  const location = response.headers.get('location')
  return print(location === null ? text : new URL(location, url).href)
}

async function submitToStore(name: string, text: string, given: ParsedArgs): Promise<number> {
  const { types } = await namedHandlers(given, given.texts('handlers'))
  const type = types.find(it => it.name === name)
  if (type === undefined) {
    throw new UsageError(
      `The handler files have no operation type "${name}", only ${types.map(it => it.name).join(', ')}.`,
    )
  }
  const blobs = await namedBlobs(given)
  const waybill = createWaybill({ operations: types, store: await storeFromUrl(given.storeUrl(), blobs), ...blobs })
  try {
    await waybill.store.open({ brief: true })
    const { operation } = await waybill.operations.submit(type, {
      input: JSON.parse(text),
      owner: given.text('owner') ?? '',
      idempotencyKey: given.text('key'),
      delay: given.duration('delay'),
    })
    if (!given.has('wait')) return given.has('json') ? printJson(operation) : print(operation.id)
    const detail = await follow(waybill.operator, operation.id, false)
    if (detail === undefined) throw new Error(`The operation ${operation.id} is gone.`)
    const output = await waybill.operator.output(operation.id)
    if (detail.status === 'completed') print(output ?? 'null')
    return reportEnd(detail)
  } finally {
    await waybill.stop()
  }
}
