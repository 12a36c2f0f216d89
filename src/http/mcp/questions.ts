/** The questions that handlers ask with `job.ask`, as input that a task requires, and the answers to them. */

import type { Operation } from '../../model/operation.ts'
import { ProblemError } from '../../model/problem.ts'
import type { Wait } from '../../model/waits.ts'
import { openWaits } from '../../service/events.ts'
import type { Operations } from '../../service/operations.ts'
import { fieldsOf, isObject } from '../../util/fields.ts'
import { answerOf, formRequest } from './forms.ts'
import { CODES, type Members, RpcError } from './json-rpc.ts'
import { promptRequest, spokenText } from './prompts.ts'
import type { Asks, McpRequest } from './request.ts'

const ANYBODY: Asks = { form: true, model: true }

/** The open questions that this client can be asked. */
export function questionsOf(operation: Operation, { form, model }: Asks): readonly Wait[] {
  return openWaits(operation).filter(wait => wait.kind === 'input' && (wait.model === undefined ? form : model))
}

/** The questions as requests to the client. */
export function inputRequests(questions: readonly Wait[]): Members {
  return Object.fromEntries(questions.map(wait => [wait.name, requestFor(wait)]))
}

function requestFor({ name, message = name, schema, model }: Wait): Members {
  return model === undefined ? formRequest({ message, schema }) : promptRequest({ message, model })
}

/**
 * Passes the answers of a client to the handler. Answers to unknown questions are ignored, as MCP requires. A question
 * that a person declines stays open for others.
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
  for (const wait of questionsOf(operation, ANYBODY)) {
    const { name } = wait
    if (!Object.hasOwn(responses, name)) continue
    const answer = readAnswer(wait, fieldsOf(responses[name]))
    if (answer === undefined) isDeclined = true
    else await operations.sendEvent(operation.id, { name, value: answer.value, owner }).catch(ignoreLate)
  }
  return isDeclined
}

/** The answer in the response to a question; undefined if the person declined. */
function readAnswer({ name, schema, model }: Wait, response: Members): { readonly value: unknown } | undefined {
  if (model !== undefined) return { value: spokenText(response) }
  const { action, content } = response
  if (typeof action !== 'string') {
    throw new RpcError(CODES.invalidParams, `"inputResponses.${name}" must have an "action".`)
  }
  return action === 'accept' ? { value: answerOf(schema, content) } : undefined
}

/** Another answer came first, or the operation has ended. */
function ignoreLate(error: unknown): void {
  const late = ['event-refused', 'operation-finished']
  if (!(error instanceof ProblemError) || !late.includes(`${error.problem.code}`)) throw error
}

/** The prefix of the ids of requests on the stream of a waiting call. */
const HELD = 'call/'

/**
 * The questions that were sent on a stream of an earlier revision. There the server sends a request, and the client
 * answers in a separate message.
 */
export class Asked {
  readonly #names = new Set<string>()
  readonly #prefix: string

  constructor({ method }: McpRequest) {
    this.#prefix = method === 'tools/call' ? HELD : ''
  }

  /** The requests for the questions that have not been asked yet. */
  requests({ id }: Operation, questions: readonly Wait[]): readonly Members[] {
    const open = questions.filter(({ name }) => !this.#names.has(name))
    for (const { name } of open) this.#names.add(name)
    return open.map(wait => ({ jsonrpc: '2.0', id: `${this.#prefix}${id}/${wait.name}`, ...requestFor(wait) }))
  }
}

/** What a response belongs to: the operation, the question, and whether only the waiting call knows the operation. */
export interface ResponseTarget {
  readonly taskId: string
  readonly name: string
  readonly isHeld: boolean
}

/** Reads what the response to such a request belongs to. */
export function readResponseId(id: unknown): ResponseTarget | undefined {
  const [, held, taskId, name] = /^(call\/)?([^/]+)\/(.+)$/s.exec(`${id}`) ?? []
  return taskId === undefined || name === undefined ? undefined : { taskId, name, isHeld: held !== undefined }
}
