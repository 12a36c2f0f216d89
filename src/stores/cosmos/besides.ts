/**
 * Reads the parts of an operation that are in items or blobs of their own. A part that another program has deleted is
 * left out: then the answer has fewer parts than the operation's item names.
 */
import type { AttemptError } from '../../model/operation.ts'
import { inParallel } from '../../util/in-parallel.ts'
import type { LogLine, RecordedError } from '../store.ts'
import type { CosmosAccess } from './access.ts'
import type { Body, ErrorPart, LogPart, OperationItem } from './items.ts'

/** The JSON of an input or an output; undefined where there is none. */
export async function textOf(access: CosmosAccess, body: Body | null | undefined): Promise<string | undefined> {
  if (body === null || body === undefined) return undefined
  return 'text' in body ? body.text : await access.body(body.item)
}

/** The outcomes of steps, as names and their JSON. */
export async function stepsOf(
  access: CosmosAccess,
  steps: OperationItem['steps'],
): Promise<(readonly [name: string, value: string])[]> {
  const bodies = await inParallel(steps, step => access.body(step.item))
  return steps.flatMap(({ name }, index) => {
    const body = bodies[index]
    return body === undefined ? [] : [[name, body] as const]
  })
}

/** The log lines that were moved out of the operation's item, part by part. */
export async function movedLinesOf(access: CosmosAccess, parts: readonly LogPart[]): Promise<LogLine[][]> {
  const bodies = await inParallel(parts, part => access.body(part.item))
  return bodies.flatMap(body => (body === undefined ? [] : [JSON.parse(body) as LogLine[]]))
}

/** What attempts threw. */
export async function errorsOf(access: CosmosAccess, parts: readonly ErrorPart[] = []): Promise<RecordedError[]> {
  const bodies = await inParallel(parts, part => access.body(part.item))
  return parts.flatMap(({ attempt }, index) => {
    const body = bodies[index]
    return body === undefined ? [] : [{ attempt, error: JSON.parse(body) as AttemptError }]
  })
}
