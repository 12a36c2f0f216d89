/**
 * What a worker and a child process that runs its handlers send each other. Handlers share the channel, so every
 * message is in a marked envelope. A message without an envelope, or with wrong content, is ignored.
 */

import type { LogLevel } from '../../../model/handler.ts'
import type { AttemptError, Outcome } from '../../../model/operation.ts'
import type { Progress } from '../../../model/protocol.ts'
import { type ChildSubmission, STOP_REASONS, StopError, type StopReason, type Task } from '../runner.ts'
import type { Spooled } from './spool.ts'

/** From the worker to the child. */
export type ToChild =
  | { readonly kind: 'load'; readonly files: readonly string[] }
  /** `canUpload`: results that are not JSON can be stored. */
  | { readonly kind: 'run'; readonly task: Task; readonly canUpload: boolean }
  | { readonly kind: 'stop'; readonly reason: StopReason }
  /** The one answer to a question: a value, or an error. */
  | { readonly kind: 'answer'; readonly question: number; readonly value?: unknown; readonly error?: AttemptError }

/** What a child asks its worker. Each question gets one answer while its run lasts. */
export type Question =
  /** The steps that earlier attempts have recorded. */
  | { readonly ask: 'steps' }
  | { readonly ask: 'record-step'; readonly name: string; readonly value: string }
  | { readonly ask: 'submit'; readonly children: readonly ChildSubmission[] }
  | { readonly ask: 'family' }
  | { readonly ask: 'child-ends'; readonly ids: readonly string[] }
  | { readonly ask: 'child-output'; readonly id: string }
  /** The folder for the bytes of results. */
  | { readonly ask: 'folder' }
  /** Upload the file of a result: the answer is the output to record. */
  | { readonly ask: 'upload'; readonly file: Spooled; readonly type: string; readonly filename?: string | undefined }

/** From the child to the worker. */
export type FromChild =
  | { readonly kind: 'loaded'; readonly types: readonly string[] }
  | { readonly kind: 'unloadable'; readonly reason: string }
  /** The child has received the run, and calls its handler next. */
  | { readonly kind: 'begun' }
  | { readonly kind: 'end'; readonly outcome: Outcome }
  /** An uncaught error. The process ends next, unless a handler has installed its own listener. */
  | { readonly kind: 'uncaught'; readonly error: AttemptError }
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly message: string }
  | { readonly kind: 'question'; readonly number: number; readonly question: Question }

/** A message with the number of its run. The number 0 means the child as a whole. */
export interface Envelope<Content> {
  readonly mark: typeof MARK
  readonly run: number
  readonly content: Content
}

const MARK = 'waybill:handlers'

export function enclose<Content>(run: number, content: Content): Envelope<Content> {
  return { mark: MARK, run, content }
}

/** Reads what a child has sent; undefined if it is not a message of Waybill's. */
export function readFromChild(received: unknown): Envelope<FromChild> | undefined {
  return isEnvelope(received) && isFromChild(received.content) ? (received as Envelope<FromChild>) : undefined
}

/** What Node itself sends of each file that it loads, in the processes of a program under `node --watch`. */
export function isWatchReport(received: unknown): boolean {
  return isObject(received) && (Array.isArray(received['watch:import']) || Array.isArray(received['watch:require']))
}

/** Reads what the worker has sent; undefined if it is not a message of Waybill's. */
export function readToChild(received: unknown): Envelope<ToChild> | undefined {
  if (!isEnvelope(received) || !isObject(received.content)) return undefined
  const { kind } = received.content
  const known = kind === 'load' || kind === 'run' || kind === 'stop' || kind === 'answer'
  return known ? (received as Envelope<ToChild>) : undefined
}

/** Makes the described error again. An error that stops the attempt gets its class back. */
export function receivedError({ name, message, code, stack, cause }: AttemptError): Error {
  const stop = STOP_REASONS.find(reason => reason === name)
  if (stop !== undefined) return new StopError(stop)
  const error = new Error(message, cause && { cause: receivedError(cause) })
  Object.assign(error, { name, ...(code !== undefined && { code }), ...(stack !== undefined && { stack }) })
  return error
}

function isEnvelope(received: unknown): received is Envelope<unknown> {
  return isObject(received) && received.mark === MARK && Number.isSafeInteger(received.run)
}

type Fields = Record<string, unknown>

/** What the content of each kind must be. */
const FROM_CHILD: Record<FromChild['kind'], (content: Fields) => boolean> = {
  loaded: ({ types }) => Array.isArray(types) && types.every(isString),
  unloadable: ({ reason }) => isString(reason),
  begun: () => true,
  end: ({ outcome }) => isObject(outcome) && isOutcome(outcome),
  uncaught: ({ error }) => isObject(error) && isString(error.name) && isString(error.message),
  progress: ({ progress }) => isObject(progress) && typeof progress.fraction === 'number' && isText(progress.message),
  log: ({ level, message }) => isString(level) && Object.hasOwn(LEVELS, level) && isString(message),
  question: ({ number, question }) => Number.isSafeInteger(number) && isObject(question) && isQuestion(question),
}

const LEVELS: Record<LogLevel, true> = { debug: true, info: true, warn: true, error: true }

const OUTCOMES: Record<Outcome['kind'], (outcome: Fields) => boolean> = {
  completed: ({ output }) => isString(output),
  failed: ({ problem }) => isObject(problem),
  retry: ({ problem, delayMs }) => isObject(problem) && typeof delayMs === 'number',
  canceled: ({ problem }) => isObject(problem),
  released: () => true,
  suspended: ({ waits }) => Array.isArray(waits) && waits.every(isWait),
}

const QUESTIONS: Record<Question['ask'], (question: Fields) => boolean> = {
  steps: () => true,
  'record-step': ({ name, value }) => isString(name) && isString(value),
  submit: ({ children }) => Array.isArray(children) && children.every(isSubmission),
  family: () => true,
  'child-ends': ({ ids }) => Array.isArray(ids) && ids.every(isString),
  'child-output': ({ id }) => isString(id),
  folder: () => true,
  upload: ({ file, type, filename }) => isObject(file) && isString(file.path) && isString(type) && isText(filename),
}

function isFromChild(content: unknown): content is FromChild {
  return isObject(content) && satisfies(FROM_CHILD, content.kind, content)
}

function isOutcome(outcome: Fields): boolean {
  return satisfies(OUTCOMES, outcome.kind, outcome)
}

function isWait(wait: unknown): boolean {
  return isObject(wait) && isString(wait.kind) && isString(wait.name) && isText(wait.message)
}

function isSubmission(submission: unknown): boolean {
  if (!isObject(submission)) return false
  return ['id', 'type', 'input', 'idempotencyKey'].every(name => isString(submission[name]))
}

function isQuestion(question: Fields): boolean {
  return satisfies(QUESTIONS, question.ask, question)
}

function satisfies(checks: Record<string, (fields: Fields) => boolean>, kind: unknown, fields: Fields): boolean {
  return isString(kind) && Object.hasOwn(checks, kind) && checks[kind]?.(fields) === true
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}

function isString(value: unknown): value is string {
  return typeof value === 'string'
}

/** A string, or nothing. */
function isText(value: unknown): boolean {
  return value === undefined || isString(value)
}
