/** `waybill webhooks` and `waybill replay`: show the webhook deliveries of an operation, and send them again. */

import { isFinal } from '../model/protocol.ts'
import { plain } from '../util/plain-text.ts'
import type { Delivery, DeliveryAttempt } from '../webhooks/history.ts'
import { type Command, JSON_OPTION, type ParsedArgs } from './command.ts'
import { actor, DESK_OPTIONS, type Desk, findId, withDesk } from './desk.ts'
import { columns, print, printJson, short, span, time } from './output.ts'
import { toEach, VERB_OPTIONS } from './to-each.ts'

export const webhooks: Command = {
  name: 'webhooks',
  operands: 'ID',
  count: { min: 1, max: 1 },
  summary: 'show the webhook deliveries of an operation, with each attempt and the answer of the receiver',
  options: { ...DESK_OPTIONS, ...JSON_OPTION },
  examples: [
    'waybill webhooks 7f6aeb --store sqlite:./orders.db',
    'waybill webhooks 01941f29-7c00-7000-8000-000000000001 --json --url http://127.0.0.1:3000',
  ],
  run: given => withDesk(given, desk => show(desk, given)),
}

export const replay: Command = {
  name: 'replay',
  operands: 'ID...',
  count: { max: Number.POSITIVE_INFINITY },
  summary: 'send the webhooks of operations again, now',
  options: VERB_OPTIONS,
  notes: [
    'ID is the id of an operation or of one of its deliveries. Over a store, a process of the API sends the webhook.',
  ],
  examples: [
    'waybill replay 7f6aeb --url http://127.0.0.1:3000',
    'waybill replay 7f6aeb 3c01d2 --store sqlite:./orders.db',
    'waybill replay --filter "type:webhook-deliveries status:failed since:2h" --yes --url http://127.0.0.1:3000',
  ],
  run: given =>
    toEach(given, {
      action: 'replay',
      act: async (desk, id) => {
        const view = await desk.replay(id, actor())
        return { view, says: `is sent again by ${view.id}` }
      },
    }),
}

async function show(desk: Desk, given: ParsedArgs): Promise<number> {
  const [operand = ''] = given.operands
  const id = await findId(desk, operand)
  const detail = await desk.get(id)
  if (detail === undefined) throw new Error(`There is no operation ${id}.`)
  const { deliveries, webhookUrl, status } = detail
  if (given.has('json')) return printJson(deliveries)
  if (webhookUrl === null) return print(`${id} has no webhook.`)
  if (deliveries.length === 0) {
    return print(`${id} has not been delivered yet to ${plain(webhookUrl)}; its status is "${status}".`)
  }
  for (const line of deliveries.flatMap(deliveryLines)) print(line)
  return 0
}

function deliveryLines({ id, url, status, createdAt, nextAttemptAt, attempts }: Delivery): string[] {
  const next = nextAttemptAt === null || isFinal(status) ? '' : `, next attempt at ${time(nextAttemptAt)}`
  return [
    `${id}  ${status}${next}  ${time(createdAt)}  ${plain(url)}`,
    ...columns(attempts.map(attemptRow)).map(line => `  ${line}`),
  ]
}

function attemptRow({ number, startedAt, finishedAt, outcome, answerStatus, error }: DeliveryAttempt): string[] {
  const reason = short(error?.detail ?? error?.title ?? '', 120)
  return [`#${number}`, time(startedAt), span(finishedAt - startedAt), outcome, String(answerStatus ?? '-'), reason]
}
