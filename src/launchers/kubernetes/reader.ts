/**
 * The one reader of what Kubernetes answers. A server may send `null` for any optional property, and for a list that
 * is empty; the client passes it on, though its types say `undefined`. Here null, absent and ill-typed are the same.
 */
import { type Fields, fieldsOf, itemsOf, numberOf, stringOf } from '../../util/fields.ts'

/** The properties of a Job that are used. */
export interface JobDescription {
  readonly name: string
  readonly resourceVersion: string | undefined
  readonly isBeingDeleted: boolean
  readonly isSuspended: boolean
  /** Pods that run and have passed their readiness probes; undefined before the Job controller has looked. */
  readonly ready: number | undefined
  readonly succeeded: number
  readonly failed: number
  /** The conditions that are true. */
  readonly conditions: readonly JobCondition[]
}

export interface JobCondition {
  readonly type: string
  readonly reason: string | undefined
  readonly message: string | undefined
}

/** A page of a listing. */
export interface JobPage {
  readonly jobs: readonly JobDescription[]
  /** Where the next page begins; undefined at the last one. */
  readonly next: string | undefined
  readonly resourceVersion: string | undefined
}

export function readJob(job: unknown): JobDescription {
  const { metadata, spec, status } = fieldsOf(job)
  const { name, resourceVersion, deletionTimestamp } = fieldsOf(metadata)
  const { ready, succeeded, failed, conditions } = fieldsOf(status)
  return {
    name: textOf(name) ?? '',
    resourceVersion: textOf(resourceVersion),
    // A date from the client, and a string in the event of a watch.
    isBeingDeleted: (deletionTimestamp ?? undefined) !== undefined,
    isSuspended: fieldsOf(spec).suspend === true,
    ready: numberOf(ready),
    succeeded: numberOf(succeeded) ?? 0,
    failed: numberOf(failed) ?? 0,
    conditions: itemsOf(conditions)
      .filter(it => it.status === 'True')
      .map(readCondition),
  }
}

export function readPage(list: unknown): JobPage {
  const { items, metadata } = fieldsOf(list)
  const { _continue: next, resourceVersion } = fieldsOf(metadata)
  return { jobs: itemsOf(items).map(readJob), next: textOf(next), resourceVersion: textOf(resourceVersion) }
}

function readCondition({ type, reason, message }: Fields): JobCondition {
  return { type: textOf(type) ?? '', reason: textOf(reason), message: textOf(message) }
}

/** Undefined for an empty string too: Go may leave out an empty string or send it. */
function textOf(value: unknown): string | undefined {
  return stringOf(value) || undefined
}
