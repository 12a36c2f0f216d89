/** The Job controller and the kubelet in one: makes a Job's pod, and updates the status of the Job. */
import type { JobCollection } from './collection.ts'
import { now } from './job-admission.ts'
import type { Condition, FailureRule, Job, JobStatus } from './objects.ts'
import { type Cluster, Pod } from './pod.ts'

/** How a Job ends. */
interface End {
  readonly type: 'Complete' | 'Failed'
  readonly reason: string
  readonly message: string
}

const DONE: End = {
  type: 'Complete',
  reason: 'CompletionsReached',
  message: 'Reached expected number of succeeded pods',
}
const FAILED: End = {
  type: 'Failed',
  reason: 'BackoffLimitExceeded',
  message: 'Job has reached the specified backoff limit',
}
const OVERDUE: End = {
  type: 'Failed',
  reason: 'DeadlineExceeded',
  message: 'Job was active longer than specified deadline',
}
/** The first pause before a failed pod is replaced, in seconds. It doubles. */
const BACKOFF_SECONDS = 10

/** What a controller needs. */
export interface ControllerOptions {
  readonly jobs: JobCollection
  readonly cluster: Cluster & { /** Whether the status of Jobs is frozen. */ readonly frozen: boolean }
  /** Called when there is neither the Job nor a pod of it any more. */
  readonly onGone: () => void
}

/** Controls one Job, from its creation until it and its pod are deleted. */
export class JobController {
  readonly job: Job
  readonly #options: ControllerOptions
  #pod: Pod | undefined
  #pods = 0
  #end: End | undefined
  #deleted = false
  /** The status of the Job. */
  #unsaid: Partial<JobStatus> = {}
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(job: Job, options: ControllerOptions) {
    this.job = job
    this.#options = options
  }

  get pod(): Pod | undefined {
    return this.#pod
  }

  begin(): void {
    const { suspend, activeDeadlineSeconds } = this.job.spec
    if (suspend === true) {
      this.#write({ conditions: [condition('Suspended', 'JobSuspended', 'Job suspended')] })
      return
    }
    this.#write({ startTime: now() })
    if (activeDeadlineSeconds !== undefined) this.#after(activeDeadlineSeconds, () => this.#finish(OVERDUE))
    this.#newPod()
  }

  /** Looks for what its pod is missing once more. */
  retry(): void {
    this.#pod?.start()
  }

  /** Publishes the changes that were held back while the controller was frozen. */
  thaw(): void {
    if (Object.keys(this.#unsaid).length > 0) this.#write({})
  }

  /** Deletes the Job: at once and its pod after it, or the other way round. */
  delete(policy: 'Background' | 'Foreground' | 'Orphan'): void {
    this.#deleted = true
    this.#clear()
    if (policy === 'Foreground' && this.#pod !== undefined) this.#markDeleted()
    else this.#options.jobs.remove(this.job)
    if (policy !== 'Orphan') this.#pod?.terminate()
    this.#checkGone()
  }

  /** Ends all of it with the emulator. */
  close(): void {
    this.#deleted = true
    this.#clear()
    this.#pod?.kill('SIGKILL')
  }

  #markDeleted(): void {
    const { metadata } = this.job
    if (metadata.deletionTimestamp !== undefined) return
    metadata.deletionTimestamp = now()
    metadata.deletionGracePeriodSeconds = 0
    metadata.finalizers = ['foregroundDeletion']
    this.#options.jobs.modified(this.job)
  }

  #checkGone(): void {
    const { name, namespace } = this.job.metadata
    if (this.#pod === undefined && this.#options.jobs.find(namespace, name) !== this.job) this.#options.onGone()
  }

  #newPod(): void {
    const name = `${this.job.metadata.name}-${Math.random().toString(36).slice(2, 7)}`
    const running = () => this.#write({ active: 1, ready: 1 })
    const pod = new Pod(name, this.job, this.#options.cluster, { running, ended: code => this.#ended(code) })
    this.#pod = pod
    this.#pods++
    this.#write({ active: 1, ready: 0, terminating: 0 })
    pod.start()
  }

  #ended(exitCode: number): void {
    const name = this.#pod?.name ?? ''
    this.#pod = undefined
    if (this.#deleted) {
      this.#options.jobs.remove(this.job)
      this.#checkGone()
      return
    }
    const { failed = 0 } = { ...this.job.status, ...this.#unsaid }
    const status = exitCode === 0 && this.#end === undefined ? { succeeded: 1 } : { failed: failed + 1 }
    const end = this.#end ?? this.#endBy(exitCode, name, failed + 1)
    if (end === undefined) this.#replace(status)
    else this.#concluded(end, status)
  }

  /** The end that the end of a pod is to its Job; undefined where another pod is made. */
  #endBy(exitCode: number, pod: string, failed: number): End | undefined {
    if (exitCode === 0) return DONE
    const { podFailurePolicy, backoffLimit = 6 } = this.job.spec
    const rule = podFailurePolicy?.rules.findIndex(it => matches(it, exitCode)) ?? -1
    if (podFailurePolicy?.rules[rule]?.action === 'FailJob') return this.#byRule(pod, exitCode, rule)
    return failed > backoffLimit ? FAILED : undefined
  }

  #replace(status: Partial<JobStatus>): void {
    this.#write({ ...status, active: 0, ready: 0 })
    this.#after(BACKOFF_SECONDS * 2 ** (this.#pods - 1), () => this.#newPod())
  }

  #byRule(pod: string, exitCode: number, rule: number): End {
    const container = this.job.spec.template.spec.containers[0]?.name
    const of = `Container ${container} for pod ${this.job.metadata.namespace}/${pod}`
    const message = `${of} failed with exit code ${exitCode} matching FailJob rule at index ${rule}`
    return { type: 'Failed', reason: 'PodFailurePolicy', message }
  }

  /** It is to end: that is said at once, and the end itself when no pod runs any more. */
  #finish(end: End): void {
    if (this.#end !== undefined) return
    this.#end = end
    this.#write({ conditions: [target(end)], terminating: this.#pod === undefined ? 0 : 1, ready: 0, active: 0 })
    if (this.#pod === undefined) this.#concluded(end, {})
    else this.#pod.terminate()
  }

  #concluded(end: End, status: Partial<JobStatus>): void {
    this.#clear()
    this.#end = end
    const common = { ...status, active: 0, ready: 0, terminating: 0, uncountedTerminatedPods: {} }
    this.#write({ ...common, conditions: [target(end)] })
    this.#write({
      ...(end.type === 'Complete' && { completionTime: now() }),
      conditions: [target(end), condition(end.type, end.reason, end.message)],
    })
    const { ttlSecondsAfterFinished: ttl } = this.job.spec
    if (ttl !== undefined) this.#after(ttl, () => this.delete('Background'))
  }

  #write(status: Partial<JobStatus>): void {
    Object.assign(this.#unsaid, status)
    if (this.#options.cluster.frozen) return
    this.job.status = { ...this.job.status, ...this.#unsaid }
    this.#unsaid = {}
    this.#options.jobs.modified(this.job)
  }

  #clear(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #after(seconds: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, seconds * this.#options.cluster.secondMs)
    this.#timers.add(timer)
  }
}

function matches({ onExitCodes }: FailureRule, exitCode: number): boolean {
  if (onExitCodes === undefined || exitCode === 0) return false
  return onExitCodes.values.includes(exitCode) === (onExitCodes.operator === 'In')
}

function target({ type, reason, message }: End): Condition {
  return condition(type === 'Complete' ? 'SuccessCriteriaMet' : 'FailureTarget', reason, message)
}

function condition(type: string, reason: string, message: string): Condition {
  const at = now()
  return { type, status: 'True', lastProbeTime: at, lastTransitionTime: at, reason, message }
}
