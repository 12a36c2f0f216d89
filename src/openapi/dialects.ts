/** How dialects describe their responses, and the descriptions of the built-in ones. */
import type { AnyOperationType } from '../model/operation-type.ts'
import { linksOf, type StatusDocument } from '../model/protocol.ts'
import { type HeaderUse, headers } from './components.ts'
import { type DescribedDialect, type Moment, type ResponseObject, schemaRef } from './model.ts'
import { EXAMPLE_ID } from './responses.ts'

const MOMENTS: Readonly<Record<Moment, Partial<StatusDocument>>> = {
  pending: { status: 'pending', queuePosition: 1, waitingFor: 'It is next in the queue.' },
  running: { status: 'running', attempt: 1, progress: { fraction: 0.4, message: 'packing' } },
  canceling: { status: 'running', attempt: 1, cancelRequested: true },
  completed: { status: 'completed', attempt: 1, retryAfter: 0, finishedAt: '2026-11-30T12:00:03.000Z' },
  canceled: { status: 'canceled', retryAfter: 0, cancelRequested: true, finishedAt: '2026-11-30T12:00:03.000Z' },
}

/** An example of a status document. */
export function exampleDocument(type: AnyOperationType, base: string, moment: Moment): StatusDocument {
  return {
    id: EXAMPLE_ID,
    operation: type.name,
    status: 'pending',
    createdAt: '2026-11-30T12:00:00.000Z',
    updatedAt: '2026-11-30T12:00:00.000Z',
    attempt: 0,
    maxAttempts: type.policy.attempts,
    retryAfter: 1,
    cancelRequested: false,
    links: linksOf(base, type.name, EXAMPLE_ID),
    ...MOMENTS[moment],
  }
}

const NOT_FINISHED = 'The operation has not finished.'
const CANCELED = 'The operation is canceled.'
const CANCELING =
  'The cancel request is recorded and the handler is asked to stop. Poll the status to see how the operation ends.'

/** The descriptions of the built-in dialects. */
export const DIALECT_DESCRIPTIONS = {
  redirect: ({ example }) => ({
    description:
      'While the operation is pending or running, answers 200: poll again after Retry-After. When it has finished, answers ' +
      '303 with the URL of the result in Location.',
    unfinished: {
      200: json(NOT_FINISHED, 'UnfinishedStatus', { example: example('running'), uses: ['Retry-After'] }),
    },
    finished: {
      303: json(
        'The operation has completed, failed or been canceled. Location is the URL of its result.',
        'FinalStatus',
        {
          example: example('completed'),
          uses: ['Location'],
        },
      ),
    },
    cancel: {
      200: json(CANCELED, 'FinalStatus', { example: example('canceled'), uses: [] }),
      202: json(CANCELING, 'StatusDocument', { example: example('canceling'), uses: ['Location', 'Retry-After'] }),
    },
  }),
  accepted: ({ example, result }) => ({
    description:
      'While the operation is pending or running, answers 202: poll again after Retry-After. When it has finished, answers ' +
      'as the result URL does.',
    unfinished: {
      202: json(NOT_FINISHED, 'UnfinishedStatus', {
        example: example('running'),
        uses: ['Location', 'Retry-After', 'X-Progress'],
      }),
    },
    finished: { 200: result },
    cancel: {
      202: json(CANCELING, 'StatusDocument', {
        example: example('canceling'),
        uses: ['Location', 'Retry-After', 'X-Progress'],
      }),
    },
  }),
  azure: () => ({
    description:
      'Answers 200 with the status in the body: poll again after Retry-After until it is "Succeeded", "Failed" or ' +
      '"Canceled".',
    unfinished: { 200: json(NOT_FINISHED, 'Monitor', { example: MONITOR_EXAMPLE, uses: ['Retry-After'] }) },
    finished: { 200: json('The operation has finished.', 'Monitor', { example: MONITOR_EXAMPLE, uses: [] }) },
    cancel: {
      200: json('The operation is canceled, or its handler is asked to stop.', 'Monitor', {
        example: { ...MONITOR_EXAMPLE, status: 'Canceled' },
        uses: ['Retry-After?'],
      }),
    },
  }),
} satisfies Readonly<Record<string, DescribedDialect['describe']>>

/** The name of a built-in dialect. */
export type DialectName = keyof typeof DIALECT_DESCRIPTIONS

/** The names of the built-in dialects. */
export const DIALECT_NAMES = Object.keys(DIALECT_DESCRIPTIONS) as readonly DialectName[]

const MONITOR_EXAMPLE = {
  id: EXAMPLE_ID,
  status: 'Running',
  createdDateTime: '2026-11-30T12:00:00.000Z',
  lastActionDateTime: '2026-11-30T12:00:01.000Z',
  percentComplete: 40,
}

/** A response whose body is a JSON document of the API. */
function json(
  description: string,
  schema: string,
  { example, uses }: { readonly example: unknown; readonly uses: readonly HeaderUse[] },
): ResponseObject {
  return {
    description,
    headers: headers(uses),
    content: { 'application/json': { schema: schemaRef(schema), example } },
  }
}
