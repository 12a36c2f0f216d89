/** The acts of operators on operations and types: `waybill cancel`, `retry`, `delete`, `pause` and `resume`. */
import { type Command, JSON_OPTION } from './command.ts'
import { actor, DESK_OPTIONS, type Desk, withDesk } from './desk.ts'
import { print, printJson } from './output.ts'
import { toEach, VERB_OPTIONS } from './to-each.ts'

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
        return { view, says: view.status === 'running' ? 'asked to cancel' : view.status }
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
        return { view, says: `is retried by ${view.id}` }
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
        return { view: { id }, says: 'deleted' }
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
