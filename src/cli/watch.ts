/** `waybill watch`: shows the progress and the log of one operation, live. */
import { type Command, JSON_OPTION, type ParsedArgs } from './command.ts'
import { DESK_OPTIONS, findId, headersOf, withDesk } from './desk.ts'
import { follow, followUrl, reportEnd } from './follow.ts'

export const watch: Command = {
  name: 'watch',
  operands: 'ID|URL',
  count: { min: 1, max: 1 },
  summary: 'follow an operation to its end, with its progress and log; or any status URL, to its result',
  options: { ...DESK_OPTIONS, ...JSON_OPTION },
  examples: [
    'waybill watch 7f6aeb --store sqlite:./orders.db',
    'waybill watch 01941f29-7c00-7000-8000-000000000001 --url http://127.0.0.1:3000',
    'waybill watch https://api.example.com/orders/status/01941f29-7c00-7000-8000-000000000001',
  ],
  run: runWatch,
}

async function runWatch(given: ParsedArgs): Promise<number> {
  const [operand = ''] = given.operands
  if (/^https?:/.test(operand)) return await followUrl(operand, headersOf(given))
  return await withDesk(given, async desk => {
    const id = await findId(desk, operand)
    const detail = await follow(desk, id, given.has('json'))
    if (detail === undefined) throw new Error(`There is no operation ${id}.`)
    return reportEnd(detail)
  })
}
