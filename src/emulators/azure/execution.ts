/** An execution of an emulated job: an operating-system process, and what the engine says of it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { describeTemplate, type EmulatedJob, type EmulatedTemplate } from './job.ts'

export type ExecutionStatus = 'Processing' | 'Running' | 'Succeeded' | 'Failed' | 'Stopped'

/** How executions are run. */
export interface ExecutionHost {
  /** Added to the environment of each. */
  readonly env: Readonly<Record<string, string>>
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly graceMs: number
  /** Where its output goes. */
  readonly output: 'inherit' | 'ignore'
}

/** An execution. */
export class Execution {
  readonly name: string
  readonly job: EmulatedJob
  readonly template: EmulatedTemplate
  readonly startedAt = Date.now()
  endedAt: number | undefined
  status: ExecutionStatus = 'Processing'
  reason: string | undefined
  message: string | undefined
  /** The exit code of its last process; 128 and the signal's number where a signal ended it. */
  code: number | undefined
  /** The engine has lost it: it is neither listed nor found. */
  vanished = false
  /** The engine keeps reporting its current state, whatever happens. */
  frozen = false
  readonly #host: ExecutionHost
  #process: ChildProcess | undefined
  #retries: number
  #stopping: { status: ExecutionStatus; reason: string; message: string } | undefined
  #timers: NodeJS.Timeout[] = []
  #ended: () => void = () => {}
  /** Resolves when its last process has ended. */
  readonly end: Promise<void> = new Promise(resolve => {
    this.#ended = resolve
  })

  constructor(job: EmulatedJob, template: EmulatedTemplate, host: ExecutionHost) {
    this.name = `${job.name}-${randomName()}`
    this.job = job
    this.template = template
    this.#host = host
    this.#retries = job.replicaRetryLimit
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** A variable of the environment that it was started with. */
  variable(name: string): string | undefined {
    return this.template.containers[0]?.env?.find(it => it.name === name)?.value
  }

  /** Starts its process. */
  run(): void {
    if (this.status !== 'Processing') return
    if (this.vanished) {
      this.#ended()
      return
    }
    this.#say('Running')
    this.#after(this.job.replicaTimeout * 1000, () =>
      this.#shutDown('Failed', 'DeadlineExceeded', 'The replica has run longer than its timeout.'),
    )
    this.#spawn()
  }

  /** As the service's stop does: SIGTERM, and SIGKILL after the grace. One that has ended is left alone. */
  stop(): void {
    if (this.status === 'Processing') this.#finish('Stopped', 'Stopped', 'The execution was stopped.')
    else this.#shutDown('Stopped', 'Stopped', 'The execution was stopped.')
  }

  /** Ends its process, as a crash of the machine would. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#process?.kill(signal)
  }

  /** Makes the engine lose it, as if it had never been started or was deleted. */
  vanish(): void {
    this.vanished = true
    this.kill()
  }

  #spawn(): void {
    const [program = 'node', ...args] = this.#command
    const child = spawn(program === 'node' ? process.execPath : program, args, {
      cwd: this.job.cwd,
      env: { ...process.env, ...this.#host.env, ...this.#environment },
      stdio: ['ignore', this.#host.output, this.#host.output],
    })
    this.#process = child
    child.once('error', error => this.#exited(127, error.message))
    child.once('exit', (code, signal) =>
      this.#exited(code ?? 137, signal === null ? `exit code ${code}` : `ended by ${signal}`),
    )
  }

  get #command(): readonly string[] {
    const { command = this.job.command, args = [] } = this.template.containers[0] ?? {}
    return [...command, ...args]
  }

  get #environment(): Record<string, string> {
    const variables = this.template.containers[0]?.env ?? []
    return {
      ...Object.fromEntries(
        variables.map(({ name, value, secretRef }) => [name, value ?? this.job.secrets[secretRef ?? ''] ?? '']),
      ),
      CONTAINER_APP_JOB_NAME: this.job.name,
      CONTAINER_APP_JOB_EXECUTION_NAME: this.name,
      CONTAINER_APP_REPLICA_NAME: `${this.name}-${randomName().slice(0, 5)}`,
    }
  }

  #exited(code: number, how: string): void {
    this.code = code
    this.#process = undefined
    const stopping = this.#stopping
    if (stopping !== undefined) this.#finish(stopping.status, stopping.reason, stopping.message)
    else if (code === 0) this.#finish('Succeeded')
    else if (this.#retries-- > 0) this.#spawn()
    else this.#finish('Failed', 'BackoffLimitExceeded', `The container has failed: ${how}.`)
  }

  #shutDown(status: ExecutionStatus, reason: string, message: string): void {
    if (this.#process === undefined || this.#stopping !== undefined) return
    this.#stopping = { status, reason, message }
    this.kill('SIGTERM')
    this.#after(this.#host.graceMs, () => this.kill('SIGKILL'))
  }

  #finish(status: ExecutionStatus, reason?: string, message?: string): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer)
    this.#say(status)
    if (!this.frozen) {
      this.endedAt = Date.now()
      this.reason = reason
      this.message = message
    }
    this.#ended()
  }

  #say(status: ExecutionStatus): void {
    if (!this.frozen) this.status = status
  }

  #after(ms: number, act: () => void): void {
    this.#timers.push(setTimeout(act, ms).unref())
  }

  /** Its description in a response. */
  resource(jobId: string): object {
    return {
      id: `${jobId}/executions/${this.name}`,
      name: this.name,
      type: 'Microsoft.App/jobs/executions',
      systemData: null,
      properties: {
        status: this.status,
        startTime: new Date(this.startedAt).toISOString(),
        endTime: this.endedAt === undefined ? null : new Date(this.endedAt).toISOString(),
        template: describeTemplate(this.template),
        detailedStatus: this.status === 'Processing' ? null : { replicas: [this.#replica] },
        reason: this.reason ?? null,
        message: this.message ?? null,
      },
    }
  }

  get #replica(): object {
    const container = {
      name: this.template.containers[0]?.name,
      status: this.status,
      code: this.endedAt === undefined ? null : (this.code ?? 0),
      additionalInformation: null,
    }
    return { name: `${this.name}-0`, containers: [container] }
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

function randomName(): string {
  return Array.from({ length: 7 }, () => LETTERS[randomInt(LETTERS.length)]).join('')
}
