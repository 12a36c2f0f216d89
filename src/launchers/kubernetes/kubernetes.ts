/**
 * The Kubernetes launcher: one Job for each start of an execution, through the `BatchV1Api` of
 * `@kubernetes/client-node`. It needs no rights but those on Jobs.
 */
import { type Duration, durationMs, SECOND } from '../../model/duration.ts'
import {
  type Checks,
  checkOptions,
  duration,
  FUNCTION,
  OBJECT,
  required,
  STRING,
  UNCHECKED,
  withMethods,
} from '../../model/options.ts'
import { TimeLimit } from '../../util/time-limit.ts'
import { emitWarning } from '../../util/warning.ts'
import {
  type ExecutionState,
  type Launcher,
  LaunchRefused,
  type LaunchRequest,
  type RefusalReason,
} from '../launcher.ts'
import type { KubernetesJobsApi, KubernetesJobTemplate, KubernetesWatch } from './api.ts'
import { type Fault, readFault } from './api-fault.ts'
import { Ends } from './ends.ts'
import { type JobPlan, jobName, jobOf, withoutNulls } from './manifest.ts'
import { JobStates } from './states.ts'

export type {
  KubernetesContainer,
  KubernetesJobBody,
  KubernetesJobsApi,
  KubernetesJobTemplate,
  KubernetesWatch,
} from './api.ts'
export { OPERATION_LABEL, TYPE_LABEL } from './manifest.ts'

/** Options of {@link kubernetesJob}. */
export interface KubernetesJobOptions<Template extends KubernetesJobTemplate = KubernetesJobTemplate> {
  /** The namespace in which Jobs are created. */
  readonly namespace: string
  /**
   * The template of each Job: a `V1JobTemplateSpec`, such as a Job read from YAML. The launcher overrides the name, three
   * labels, `backoffLimit: 0`, one completion, `restartPolicy: Never` and the variables below. It adds, unless the
   * template sets them: `activeDeadlineSeconds` (the type's timeout, `startupTimeout` and 30 s),
   * `ttlSecondsAfterFinished` (600) and a `podFailurePolicy` that puts the exit code into the condition of a failed Job.
   */
  readonly template: Template
  /** The container that gets the operation's id in `WAYBILL_OPERATION_ID`, and its own name. Default: the first. */
  readonly container?: string | undefined
  /** A further environment variable that holds the operation's id. */
  readonly variable?: string | undefined
  /**
   * How long a pod may take to run: to be scheduled and to pull its image. The Job of a pod that takes longer is deleted
   * and counts as gone. Keep it below the dispatcher's `claimTimeout`. From 1 s, default 90 s.
   */
  readonly startupTimeout?: Duration | undefined
  /** The client's `Watch`: ends are noticed at once instead of at the dispatcher's next `reconcileInterval`. */
  readonly watch?: KubernetesWatch | undefined
  /** Called once with the reason why Jobs cannot be created, such as a missing right. Default: a process warning. */
  readonly warn?: ((message: string) => void) | undefined
  /**
   * The engine's name in the record. Default `kubernetes`. Launchers of several clusters or namespaces that work on one
   * store need different names, since none sees the Jobs of another.
   */
  readonly engine?: string | undefined
}

/** How long the API may take for an answer. The dispatcher waits for longer than two of them. */
const API_TIMEOUT_MS = 15_000
/** How long until the next request to a busy server that names no time. */
const BUSY_MS = 1000
/** How long until the next request to a server that is unreachable. */
const AWAY_MS = 2000
/** How long until a quota may have room. */
const QUOTA_MS = 10_000
/** How long until the fault may be fixed. */
const MEND_MS = 30_000

const ENVIRONMENT_NAME = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/
const JOB_NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/

const API: Checks<{ api: KubernetesJobsApi }> = {
  api: required(
    withMethods('a BatchV1Api of @kubernetes/client-node, passed as the first argument', 'createNamespacedJob'),
  ),
}
const OPTIONS: Checks<KubernetesJobOptions> = {
  namespace: required(STRING),
  template: required(OBJECT),
  container: STRING,
  variable: UNCHECKED,
  startupTimeout: duration({ min: SECOND }),
  watch: withMethods("the client's Watch", 'watch'),
  warn: FUNCTION,
  engine: STRING,
}

/**
 * Makes a launcher that creates one Kubernetes Job for each operation.
 *
 * @param api a `BatchV1Api` of `@kubernetes/client-node`, with the rights to create, get, list and delete Jobs of the
 * namespace, and to watch them if `watch` is given
 * @throws {TypeError} for an unknown or invalid option; the message names it
 * @example
 * const config = new KubeConfig()
 * config.loadFromDefault()
 * const containers = [{ name: 'job', image: 'registry.example/orders:1' }]
 * const launcher = kubernetesJob(config.makeApiClient(BatchV1Api), {
 *   namespace: 'orders',
 *   template: { spec: { template: { spec: { containers } } } },
 * })
 * createWaybill({ operations: [orders], store, dispatcher: { launcher } })
 */
export function kubernetesJob<Template extends KubernetesJobTemplate>(
  api: KubernetesJobsApi,
  options: KubernetesJobOptions<Template>,
): Launcher {
  checkOptions('kubernetesJob()', { api }, API)
  checkOptions('kubernetesJob()', options, OPTIONS, { start: 'startupTimeout' })
  return new KubernetesLauncher(api, options)
}

class KubernetesLauncher implements Launcher {
  readonly engine: string
  readonly #api: KubernetesJobsApi
  readonly #options: KubernetesJobOptions
  readonly #plan: JobPlan
  readonly #startupTimeoutMs: number
  readonly #limit = new TimeLimit(API_TIMEOUT_MS, 'The Kubernetes API did not answer in time.')
  readonly #states: JobStates
  readonly #warned = new Set<number>()
  #ends: Ends | undefined

  constructor(api: KubernetesJobsApi, options: KubernetesJobOptions) {
    const { namespace, startupTimeout = 90 * SECOND } = options
    this.#api = api
    this.#options = options
    this.#startupTimeoutMs = durationMs('startupTimeout', startupTimeout)
    this.#plan = planOf(options, this.#startupTimeoutMs)
    this.engine = this.#plan.engine
    this.#states = new JobStates({ api, namespace, within: call => this.#limit.within(call) })
  }

  /** Checks whether Jobs can be read at all, so that a missing right is reported at the start. */
  async open(): Promise<void> {
    await this.#limit.within(this.#api.listNamespacedJob({ namespace: this.#options.namespace, limit: 1 }))
  }

  async start(request: LaunchRequest): Promise<string> {
    const { namespace } = this.#options
    const name = jobName(request)
    try {
      await this.#limit.within(this.#api.createNamespacedJob({ namespace, body: jobOf(this.#plan, request) }))
      this.#warned.clear()
      return name
    } catch (error) {
      return await this.#afterFault(name, error)
    }
  }

  async stop(execution: string): Promise<void> {
    const { namespace } = this.#options
    if (!JOB_NAME.test(execution)) return
    try {
      // In the foreground: the Job stays visible until its pod has handed back its work and ended.
      const request = { namespace, name: execution, propagationPolicy: 'Foreground' }
      await this.#limit.within(this.#api.deleteNamespacedJob(request))
    } catch (error) {
      if (readFault(error).status !== 404) throw error
    }
  }

  async inspect(execution: string): Promise<ExecutionState> {
    const state = JOB_NAME.test(execution) ? await this.#states.look(execution) : undefined
    if (state === undefined) return { kind: 'gone', reason: `There is no Job ${execution}: it was deleted.` }
    if (state.kind === 'ended') return { kind: 'gone', reason: state.reason }
    if (state.kind !== 'starting' || state.sinceMs < this.#startupTimeoutMs) return { kind: 'alive' }
    return await this.#giveUp(execution)
  }

  watchEnds(listener: () => void): () => void {
    const { watch, namespace } = this.#options
    if (watch === undefined) return () => {}
    const onEnd = () => {
      this.#states.forget()
      listener()
    }
    this.#ends?.stop()
    const ends = new Ends({ api: this.#api, watch, namespace, onEnd })
    this.#ends = ends
    return () => ends.stop()
  }

  async close(): Promise<void> {
    this.#ends?.stop()
  }

  /**
   * A start that was not confirmed. The Job's name is made from the launch, so a repeated request cannot create a
   * second Job. Unclear cases are therefore repeated too.
   */
  async #afterFault(name: string, error: unknown): Promise<string> {
    const fault = readFault(error)
    if (fault.reason === 'AlreadyExists') return name
    const certain = refusalDelay(fault)
    const exists = certain === undefined ? await this.#exists(name) : false
    if (exists === true) return name
    const retryAfterMs = fault.retryAfterMs ?? certain ?? (exists === undefined ? AWAY_MS : BUSY_MS)
    const told = exists === undefined ? 'Could not tell whether the Job was created' : 'The Job was not created'
    const message = `${told}: ${fault.message}`
    if (fault.status !== 429) this.#warn(fault.status, message)
    throw new LaunchRefused(message, retryAfterMs, { cause: error, reason: reasonOf(fault) })
  }

  /** Reported once for each status until a start succeeds, and not for every operation. */
  #warn(status: number, message: string): void {
    if (this.#warned.has(status)) return
    this.#warned.add(status)
    const text = `Kubernetes started no execution; retrying: ${message}`
    const { warn = emitWarning } = this.#options
    warn(text)
  }

  /** Undefined if that is unknown, too. */
  async #exists(name: string): Promise<boolean | undefined> {
    const { namespace } = this.#options
    try {
      await this.#limit.within(this.#api.readNamespacedJob({ namespace, name }))
      return true
    } catch (error) {
      return readFault(error).status === 404 ? false : undefined
    }
  }

  async #giveUp(execution: string): Promise<ExecutionState> {
    try {
      await this.stop(execution)
    } catch {
      // It may still start. It is checked again.
      return { kind: 'alive' }
    }
    const seconds = Math.round(this.#startupTimeoutMs / 1000)
    return { kind: 'gone', reason: `Its pod did not start within ${seconds} s.` }
  }
}

/**
 * How long until a start that certainly created nothing is retried, in milliseconds; undefined if that is not certain.
 */
function refusalDelay({ status, message, unsent }: Fault): number | undefined {
  if (unsent) return AWAY_MS
  if (status === 429) return BUSY_MS
  if (status === 403 && /exceeded quota/.test(message)) return QUOTA_MS
  if (status < 400 || status >= 500 || status === 408 || status === 409) return undefined
  return MEND_MS
}

function reasonOf({ status, message }: Fault): RefusalReason {
  if (status === 429) return 'throttled'
  if (status === 403 && /exceeded quota/.test(message)) return 'quota'
  const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 409
  return isFinal ? 'unusable' : 'unavailable'
}

function planOf(options: KubernetesJobOptions, startMs: number): JobPlan {
  const { namespace, variable, engine = 'kubernetes' } = options
  const template = withoutNulls(options.template)
  const pod = template.spec?.template.spec
  const container = options.container ?? pod?.containers?.[0]?.name
  const fail = (message: string): never => {
    throw new TypeError(`kubernetesJob: ${message}`)
  }
  if (!JOB_NAME.test(namespace)) fail(`namespace must be the name of a namespace, not ${JSON.stringify(namespace)}.`)
  if (pod === undefined || container === undefined) fail('template has no container.')
  if (!pod?.containers.some(({ name }) => name === container)) fail(`template has no container ${container}.`)
  if (variable !== undefined && !ENVIRONMENT_NAME.test(variable)) {
    fail(`variable must be the name of an environment variable, not ${JSON.stringify(variable)}.`)
  }
  // A pod that runs must count as ready: otherwise it would be mistaken for one that never started.
  if (pod?.readinessGates?.length || pod?.containers.some(it => it.readinessProbe !== undefined)) {
    fail('template must have no readiness probes or gates: nothing sends requests to a job.')
  }
  const startSeconds = Math.ceil(startMs / 1000)
  return { engine, namespace, template, container: container ?? '', variable, startSeconds }
}
