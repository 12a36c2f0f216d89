/** The objects of the emulated API, as they go over the wire: the parts that it reads or writes. */

export interface ObjectMeta {
  name: string
  namespace: string
  uid: string
  resourceVersion: string
  generation: number
  creationTimestamp: string
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  finalizers?: string[]
  labels?: Record<string, string>
  annotations?: Record<string, string>
}

/** What an environment variable's value is taken from. */
export interface ValueSource {
  fieldRef?: { fieldPath: string }
  secretKeyRef?: { name: string; key: string; optional?: boolean }
  configMapKeyRef?: { name: string; key: string; optional?: boolean }
}

export interface Container {
  name: string
  image: string
  command?: string[]
  args?: string[]
  workingDir?: string
  env?: { name: string; value?: string; valueFrom?: ValueSource }[]
}

export interface FailureRule {
  action: string
  onExitCodes?: { containerName?: string; operator: string; values: number[] }
}

export interface JobSpec {
  parallelism?: number
  completions?: number
  completionMode?: string
  backoffLimit?: number
  activeDeadlineSeconds?: number
  ttlSecondsAfterFinished?: number
  suspend?: boolean
  selector?: { matchLabels?: Record<string, string> }
  podFailurePolicy?: { rules: FailureRule[] }
  podReplacementPolicy?: string
  template: {
    metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> }
    spec: { restartPolicy?: string; terminationGracePeriodSeconds?: number; containers: Container[] }
  }
}

export interface Condition {
  type: string
  status: 'True' | 'False'
  lastProbeTime: string
  lastTransitionTime: string
  reason?: string
  message?: string
}

export interface JobStatus {
  startTime?: string
  completionTime?: string
  active?: number
  ready?: number
  terminating?: number
  succeeded?: number
  failed?: number
  uncountedTerminatedPods?: object
  conditions?: Condition[]
}

export interface Job {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  spec: JobSpec
  status: JobStatus
}

/** One reason why an object is invalid. */
export interface Cause {
  reason: string
  message: string
  field: string
}

/** A refusal, which is answered by a `Status` object. */
export class ApiError extends Error {
  readonly code: number
  readonly reason: string
  readonly details: object | undefined

  constructor(code: number, reason: string, message: string, details?: object) {
    super(message)
    this.code = code
    this.reason = reason
    this.details = details
  }

  toStatus(): object {
    const { code, reason, message, details } = this
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      ...(details && { details }),
      code,
    }
  }
}

export function notFound(name: string): ApiError {
  const details = { name, group: 'batch', kind: 'jobs' }
  return new ApiError(404, 'NotFound', `jobs.batch ${JSON.stringify(name)} not found`, details)
}

/** A list or a watch that begins before what is remembered. */
export function expired(message: string): ApiError {
  return new ApiError(410, 'Expired', message)
}
