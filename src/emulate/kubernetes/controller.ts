/** The Job controller and the kubelet in one: makes a Job's pod, and says of the Job what became of it. */
import { now } from './admission.ts'
import type { JobCollection } from './collection.ts'
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

/** Looks after one Job, from its creation until its pod has ended. */
export class JobController {
  readonly #job: Job
  readonly #jobs: JobCollection
  readonly #cluster: Cluster & { readonly frozen: boolean }
  #pod: Pod | undefined
  #pods = 0
  #end: End | undefined
  #deleting: (() => void) | undefined
  readonly #timers = new Set<NodeJS.Timeout>()
  /** What is to be said of it. */
  #unsaid: Partial<JobStatus> = {}

  constructor(job: Job, jobs: JobCollection, cluster: Cluster & { readonly frozen: boolean }) {
    this.#job = job
    this.#jobs = jobs
    this.#cluster = cluster
  }

  get job(): Job {
    return this.#job
  }

  get pod(): Pod | undefined {
    return this.#pod
  }

  begin(): void {
    const { suspend, activeDeadlineSeconds } = this.#job.spec
    if (suspend === true) return this.#write({ conditions: [condition('Suspended', 'JobSuspended', 'Job suspended')] })
    this.#write({ startTime: now() })
    if (activeDeadlineSeconds !== undefined) this.#after(activeDeadlineSeconds, () => this.#finish(OVERDUE))
    this.#newPod()
  }

  /** Looks for what its pod is missing once more. */
  retry(): void {
    this.#pod?.start()
  }

  /** Says what was kept back while the controller was frozen. */
  thaw(): void {
    if (Object.keys(this.#unsaid).length > 0) this.#write({})
  }

  /** Deletes the Job: at once and its pod after it, or the other way round. */
  delete(policy: 'Background' | 'Foreground' | 'Orphan'): void {
    for (const timer of this.#timers) clearTimeout(timer)
    if (policy !== 'Foreground' || this.#pod === undefined) this.#jobs.remove(this.#job)
    if (policy === 'Orphan') return
    if (policy === 'Foreground' && this.#deleting === undefined) {
      this.#deleting = () => this.#jobs.remove(this.#job)
      const { metadata } = this.#job
      metadata.deletionTimestamp = now()
      metadata.deletionGracePeriodSeconds = 0
      metadata.finalizers = ['foregroundDeletion']
      this.#jobs.modified(this.#job)
    }
    this.#pod?.terminate()
  }

  /** Ends all of it with the emulator. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#deleting = () => {}
    this.#pod?.kill('SIGKILL')
  }

  #newPod(): void {
    const name = `${this.#job.metadata.name}-${Math.random().toString(36).slice(2, 7)}`
    const running = () => this.#write({ active: 1, ready: 1 })
    const pod = new Pod(name, this.#job, this.#cluster, { running, ended: code => this.#ended(code) })
    this.#pod = pod
    this.#pods++
    this.#write({ active: 1, ready: 0, terminating: 0 })
    pod.start()
  }

  #ended(exitCode: number): void {
    const { name } = this.#pod ?? { name: '' }
    this.#pod = undefined
    if (this.#deleting !== undefined) return this.#deleting()
    const { failed = 0 } = { ...this.#job.status, ...this.#unsaid }
    if (exitCode === 0 && this.#end === undefined) return this.#concluded(DONE, { succeeded: 1 })
    const ended = { failed: failed + 1 }
    if (this.#end !== undefined) return this.#concluded(this.#end, ended)
    const rule = this.#job.spec.podFailurePolicy?.rules.findIndex(it => matches(it, exitCode)) ?? -1
    const action = this.#job.spec.podFailurePolicy?.rules[rule]?.action
    if (action === 'FailJob') return this.#concluded(this.#byRule(name, exitCode, rule), ended)
    if (action === 'Ignore') return this.#replace({})
    if (ended.failed > (this.#job.spec.backoffLimit ?? 6)) return this.#concluded(FAILED, ended)
    this.#replace(ended)
  }

  #replace(status: Partial<JobStatus>): void {
    this.#write({ ...status, active: 0, ready: 0 })
    this.#after(BACKOFF_SECONDS * 2 ** (this.#pods - 1), () => this.#newPod())
  }

  #byRule(pod: string, exitCode: number, rule: number): End {
    const container = this.#job.spec.template.spec.containers[0]?.name
    const of = `Container ${container} for pod ${this.#job.metadata.namespace}/${pod}`
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
    for (const timer of this.#timers) clearTimeout(timer)
    this.#end = end
    const common = { ...status, active: 0, ready: 0, terminating: 0, uncountedTerminatedPods: {} }
    this.#write({ ...common, conditions: [target(end)] })
    this.#write({
      ...(end.type === 'Complete' && { completionTime: now() }),
      conditions: [target(end), condition(end.type, end.reason, end.message)],
    })
    const { ttlSecondsAfterFinished: ttl } = this.#job.spec
    if (ttl !== undefined) this.#after(ttl, () => this.#jobs.remove(this.#job))
  }

  #write(status: Partial<JobStatus>): void {
    Object.assign(this.#unsaid, status)
    if (this.#cluster.frozen) return
    this.#job.status = { ...this.#job.status, ...this.#unsaid }
    this.#unsaid = {}
    this.#jobs.modified(this.#job)
  }

  #after(seconds: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, seconds * this.#cluster.secondMs)
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
