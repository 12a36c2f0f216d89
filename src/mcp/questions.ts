/** The questions that handlers ask by `job.ask`: as input that a task requires, and the answers to them. */
import type { Operation } from '../model/operation.ts'
import { ProblemError } from '../model/problem.ts'
import type { Wait } from '../model/waits.ts'
import { openWaits } from '../service/events.ts'
import type { Operations } from '../service/operations.ts'
import { answerOf, formRequest } from './forms.ts'
import { CODES, isObject, type Members, membersOf, RpcError } from './json-rpc.ts'

/** The questions that nobody has answered yet. */
export function questionsOf(operation: Operation): readonly Wait[] {
  return openWaits(operation).filter(({ kind }) => kind === 'input')
}

/** The questions as requests to the client. */
export function inputRequests(questions: readonly Wait[]): Members {
  return Object.fromEntries(
    questions.map(({ name, message = name, schema }) => [name, formRequest({ message, schema })]),
  )
}

/**
 * Gives the answers of a client to the handler. Answers to what nobody asks are ignored, as MCP wants it, and a person who
 * declines leaves the question to others.
 *
 * @returns whether a person has declined to answer
 * @throws {RpcError} for answers that are not those of forms
 * @throws {ProblemError} `invalid-event` where an answer does not match the schema of its question
 */
export async function giveAnswers(
  operations: Operations,
  operation: Operation,
  { responses, owner }: { readonly responses: unknown; readonly owner: string },
): Promise<boolean> {
  if (!isObject(responses)) throw new RpcError(CODES.invalidParams, '"inputResponses" must be an object.')
  let isDeclined = false
  for (const { name, schema } of questionsOf(operation)) {
    if (!Object.hasOwn(responses, name)) continue
    const { action, content } = membersOf(responses[name])
    if (typeof action !== 'string') {
      throw new RpcError(CODES.invalidParams, `"inputResponses.${name}" must have an "action".`)
    }
    if (action === 'accept') {
      const value = answerOf(schema, content)
      await operations.sendEvent(operation.id, { name, value, owner }).catch(ignoreLate)
    } else isDeclined = true
  }
  return isDeclined
}

/** Someone else was first, or the operation has ended meanwhile. */
function ignoreLate(error: unknown): void {
  const late = ['event-refused', 'operation-finished']
  if (!(error instanceof ProblemError) || !late.includes(`${error.problem.code}`)) throw error
}

/** The questions that a stream of an earlier revision has asked: there the server sends a request, whose response is a message of its own. */
export class Asked {
  readonly #names = new Set<string>()

  /** The requests for the questions that have not been asked yet. */
  requests({ id }: Operation, questions: readonly Wait[]): readonly Members[] {
    const open = questions.filter(({ name }) => !this.#names.has(name))
    for (const { name } of open) this.#names.add(name)
    return open.map(({ name, message = name, schema }) => ({
      jsonrpc: '2.0',
      id: `${id}/${name}`,
      ...formRequest({ message, schema }),
    }))
  }
}

/** The operation and the question that such a response is for. */
export function readResponseId(id: unknown): { readonly taskId: string; readonly name: string } | undefined {
  const [, taskId, name] = /^([^/]+)\/(.+)$/s.exec(`${id}`) ?? []
  return taskId === undefined || name === undefined ? undefined : { taskId, name }
}
