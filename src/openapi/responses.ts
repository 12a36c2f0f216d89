/** Describes the responses that carry a problem, from the table of problems, and those of operations that failed or were canceled. */
import type { JsonSchema } from '../model/operation-type.ts'
import { problem, resultStatus } from '../model/problem.ts'
import { PROBLEMS, type ProblemCode, type ProblemKind } from '../model/problem-kinds.ts'
import { type HeaderUse, headers } from './components.ts'
import {
  type Example,
  type MediaType,
  type Reference,
  type ResponseObject,
  type Responses,
  ref,
  schemaRef,
} from './model.ts'

/** The id in every example. */
export const EXAMPLE_ID = '01936f5e-8c1a-7b3c-9d4e-5f60718293a4'

/** The problems that Waybill itself can give a failed operation. */
const FAILURES = [
  'operation-failed',
  'attempt-timeout',
  'start-deadline',
  'deadline-exceeded',
  'worker-lost',
  'launch-lost',
  'input-lost',
  'invalid-output',
  'output-too-large',
  'no-blob-store',
  'input-outdated',
  'no-handler',
] as const satisfies readonly ProblemCode[]

const CANCELLATION = 'operation-canceled'
const ENDINGS: readonly ProblemCode[] = [...FAILURES, CANCELLATION]

/** The problems that any request for one operation can receive. */
export const READ_PROBLEMS: readonly ProblemCode[] = [
  'not-found',
  'operation-expired',
  'precondition-failed',
  'unavailable',
  'internal-error',
]

/** The examples of every problem as components, and those of operations that ended with one. */
export const EXAMPLE_COMPONENTS: Readonly<Record<string, Example>> = Object.fromEntries([
  ...Object.keys(PROBLEMS).map(code => [code, problemExample(code as ProblemCode)] as const),
  ...ENDINGS.map(code => [endingName(code), endingExample(code)] as const),
])

/** The problems that a response may carry. */
export interface Troubles {
  readonly problems: readonly ProblemCode[]
  /** Headers by status, in addition to `Retry-After` of 429 and 503. */
  readonly headers?: Readonly<Record<number, readonly HeaderUse[]>>
  /** The headers of a finished operation, if the response can be that of a failed or canceled one. */
  readonly ending?: readonly HeaderUse[]
}

/** The responses with problems, by status. */
export function troubleResponses({ problems, headers: more = {}, ending }: Troubles): Responses {
  const codes = ending === undefined ? problems : [...problems, ...ENDINGS]
  const byStatus = Map.groupBy(codes, code => PROBLEMS[code].status)
  const responses = [...byStatus].map(([status, some]) => {
    const own: readonly HeaderUse[] = more[status] ?? (status === 429 || status === 503 ? ['Retry-After'] : [])
    return [status, troubleResponse(some, own, resultStatus({ status }) === status ? ending : undefined)] as const
  })
  return { ...Object.fromEntries(responses), ...(ending && otherEndings(ending)) }
}

function troubleResponse(
  codes: readonly ProblemCode[],
  own: readonly HeaderUse[],
  ending: readonly HeaderUse[] | undefined,
): ResponseObject {
  const problems = codes.filter(code => !ENDINGS.includes(code))
  const endings = codes.filter(code => ENDINGS.includes(code))
  const uses = ending === undefined ? own : [...own.map(optional), ...ending.map(optional)]
  return {
    description: describe(problems, endings, ending !== undefined),
    ...(uses.length > 0 && { headers: headers(uses) }),
    content: {
      ...(problems.length > 0 && { 'application/problem+json': problemMedia(problems) }),
      ...(ending && { 'application/json': endingMedia(endings) }),
    },
  }
}

/** With many reasons, a list of codes is clearer than one long sentence. */
function describe(problems: readonly ProblemCode[], endings: readonly ProblemCode[], canFail: boolean): string {
  const titles =
    problems.length > 3 ? ['The request is refused; "code" says why'] : problems.map(code => PROBLEMS[code].title)
  const reasons = [
    ...titles,
    ...(endings.includes(CANCELLATION) ? [PROBLEMS[CANCELLATION].title] : []),
    ...(canFail ? ['The operation failed with this status'] : []),
  ]
  return `${reasons.map((reason, index) => (index === 0 ? reason : lowered(reason))).join('; or ')}.`
}

function lowered(sentence: string): string {
  return sentence.slice(0, 1).toLowerCase() + sentence.slice(1)
}

function optional(use: HeaderUse): HeaderUse {
  return use.endsWith('?') ? use : (`${use}?` as HeaderUse)
}

/** A handler may fail its operation with any status that does not describe the HTTP exchange itself. */
function otherEndings(ending: readonly HeaderUse[]): Responses {
  const response = (whose: string): ResponseObject => ({
    description: `The operation failed with ${whose}, or the request was refused with that status.`,
    headers: headers(ending.map(optional)),
    content: {
      'application/json': { schema: schemaRef('Failure') },
      'application/problem+json': { schema: schemaRef('Problem') },
    },
  })
  return { '4XX': response('another status of the 4XX'), '5XX': response('another status of the 5XX') }
}

/** A body with one of some problems. */
function problemMedia(codes: readonly ProblemCode[]): MediaType {
  return { schema: schemaRef('Problem'), ...examples(codes) }
}

function endingMedia(codes: readonly ProblemCode[]): MediaType {
  const schema: JsonSchema = codes.includes(CANCELLATION)
    ? { oneOf: [schemaRef('Failure'), schemaRef('Cancellation')] }
    : schemaRef('Failure')
  return { schema, ...(codes.length > 0 && examples(codes.map(endingName))) }
}

function examples(names: readonly string[]): { examples: Record<string, Reference> } {
  return { examples: Object.fromEntries(names.map(name => [name, ref('examples', name)])) }
}

function endingName(code: ProblemCode): string {
  return `result.${code}`
}

function problemExample(code: ProblemCode): Example {
  const { title, cure }: ProblemKind = PROBLEMS[code]
  const errors = [{ pointer: '/place', detail: 'must be there' }]
  return {
    summary: title,
    description: cure,
    value: problem(code, undefined, code === 'invalid-input' ? { errors } : {}),
  }
}

function endingExample(code: ProblemCode): Example {
  const { summary, description, value: error } = problemExample(code) as Required<Example>
  const status = code === CANCELLATION ? 'canceled' : 'failed'
  return { summary, description, value: { id: EXAMPLE_ID, status, error } }
}
