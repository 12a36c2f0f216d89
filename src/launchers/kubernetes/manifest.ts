/** The Job of one launch: its name, its labels, and what the template becomes. */
import type { LaunchRequest } from '../launcher.ts'
import type { KubernetesContainer, KubernetesJobBody, KubernetesJobTemplate } from './api.ts'

/** On each Job and its pods: marks them as Waybill's. */
const MANAGED_BY = { name: 'app.kubernetes.io/managed-by', value: 'waybill' } as const
/** On each Job and its pods: the operation's id. */
export const OPERATION_LABEL = 'waybill/operation'
/** On each Job and its pods: the operation type's name. */
export const TYPE_LABEL = 'waybill/type'
/** Selects the Jobs that a launcher has made. */
export const SELECTOR: string = `${MANAGED_BY.name}=${MANAGED_BY.value}`

/** The longest name of a Job, which is a label of its pods, and the longest value of any label. */
const LONGEST = 63

/** What every Job of a launcher has in common. */
export interface JobPlan {
  /** The engine's name in the record. */
  readonly engine: string
  readonly namespace: string
  readonly template: KubernetesJobTemplate
  /** The container that gets the operation's id. */
  readonly container: string
  readonly variable: string | undefined
  /** How long a pod may take to start, in seconds. */
  readonly startSeconds: number
}

/** A template in which what is null is absent, as Kubernetes itself takes it. Templates that come from YAML have nulls. */
export function withoutNulls<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.filter(it => it !== null).map(it => withoutNulls(it)) as Value
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  const present = Object.entries(value).filter(([, it]) => it !== null)
  return Object.fromEntries(present.map(([name, it]) => [name, withoutNulls(it)])) as Value
}

/** The name of a launch's Job, always the same: the type (shortened, for people), the operation's id and the launch. */
export function jobName({ type, operationId, attempt, launch }: LaunchRequest): string {
  const rest = `${operationId}-${attempt}-${launch}`
  return `${type.slice(0, LONGEST - rest.length - 1)}-${rest}`
}

/** The Job to create. */
export function jobOf(plan: JobPlan, request: LaunchRequest): KubernetesJobBody {
  const { namespace, template } = plan
  const name = jobName(request)
  const { metadata, spec } = template
  const pod = spec?.template
  const labels = labelsOf(request)
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      namespace,
      labels: { ...metadata?.labels, ...labels },
      ...(metadata?.annotations && { annotations: metadata.annotations }),
    },
    spec: {
      ttlSecondsAfterFinished: 600,
      podFailurePolicy: FAILURE_POLICY,
      ...deadlineOf(plan, request),
      ...spec,
      backoffLimit: 0,
      completions: 1,
      parallelism: 1,
      template: {
        ...pod,
        metadata: { ...pod?.metadata, labels: { ...pod?.metadata?.labels, ...labels } },
        spec: {
          ...pod?.spec,
          restartPolicy: 'Never',
          containers: (pod?.spec?.containers ?? []).map(it => told(it, plan, { name, request })),
        },
      },
    },
  }
}

/**
 * Any exit code but 0 fails the Job, as it would without this policy, but the condition of the Job then has the code.
 */
const FAILURE_POLICY = {
  rules: [{ action: 'FailJob', onExitCodes: { operator: 'NotIn', values: [0] } }],
}

/**
 * An attempt normally ends itself at its timeout; this limit is for an attempt that cannot. It counts from the Job's
 * creation, so the start of the pod is added.
 */
function deadlineOf({ startSeconds }: JobPlan, { timeoutMs }: LaunchRequest): object {
  return timeoutMs > 0 ? { activeDeadlineSeconds: Math.ceil(timeoutMs / 1000) + startSeconds + GRACE_SECONDS } : {}
}

/** The time for a handler to stop after its timeout, and for its outcome to be recorded. */
const GRACE_SECONDS = 30

function labelsOf({ operationId, type }: LaunchRequest): Record<string, string> {
  const value = type.slice(0, LONGEST).replace(/-+$/, '')
  return { [MANAGED_BY.name]: MANAGED_BY.value, [OPERATION_LABEL]: operationId, [TYPE_LABEL]: value }
}

/** The container with our environment variables, which replace those of the same name. */
function told(
  container: KubernetesContainer,
  plan: JobPlan,
  { name, request }: { name: string; request: LaunchRequest },
): KubernetesContainer {
  if (container.name !== plan.container) return container
  const ours = [
    { name: 'WAYBILL_OPERATION_ID', value: request.operationId },
    { name: 'WAYBILL_EXECUTION', value: name },
    { name: 'WAYBILL_ENGINE', value: plan.engine },
    ...(plan.variable === undefined ? [] : [{ name: plan.variable, value: request.operationId }]),
  ]
  const names = new Set(ours.map(variable => variable.name))
  return { ...container, env: [...(container.env ?? []).filter(it => !names.has(it.name)), ...ours] }
}
