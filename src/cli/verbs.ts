/** What an operator does to operations: `waybill cancel`. */
import type { OperationView } from '../operator/views.ts'
import { type Command, JSON_OPTION, type ParsedArgs } from './command.ts'
import { actor, DESK_OPTIONS, type Desk, findId, withDesk } from './desk.ts'
import { fail, messageOf, print, printJson } from './output.ts'

export const cancel: Command = {
  name: 'cancel',
  operands: 'ID...',
  count: { min: 1, max: Number.POSITIVE_INFINITY },
  summary: 'cancel operations: pending ones at once, running ones by a request that their handlers learn of',
  options: { ...DESK_OPTIONS, ...JSON_OPTION },
  examples: [
    'waybill cancel 7f6aeb --store sqlite:./orders.db',
    'waybill cancel 01941f29-7c00-7000-8000-000000000001 --url http://127.0.0.1:3000',
  ],
  run: given => toEach(given, async (desk, id) => await desk.cancel(id, actor())),
}

/** Acts on each operation, and says what it is then. Exits with 1 if it could not act on one of them. */
async function toEach(
  given: ParsedArgs,
  act: (desk: Desk, id: string) => Promise<Pick<OperationView, 'id' | 'status' | 'cancelRequested'>>,
): Promise<number> {
  return await withDesk(given, async desk => {
    let code = 0
    for (const operand of given.operands) {
      const id = await findId(desk, operand)
      try {
        const view = await act(desk, id)
        if (given.has('json')) printJson(view)
        else print(`${view.id} ${view.cancelRequested && view.status === 'running' ? 'asked to cancel' : view.status}`)
      } catch (error) {
        code = fail(`${id} ${messageOf(error)}`, 1)
      }
    }
    return code
  })
}
