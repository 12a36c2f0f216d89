/**
 * The template of the executions. A start can replace the job's whole template or nothing of it, so the job's is
 * read, kept, and sent with each start, changed only in the environment of one container.
 */
import type { EnvironmentVariable, ExecutionContainer, ExecutionTemplate, Job, JobContainer } from './client.ts'

/** A job resource that is read when it is needed and kept for a while. */
export class KeptJob {
  readonly #read: () => Promise<Job>
  readonly #keepMs: number
  #job: Job | undefined
  #until = 0
  #reading: Promise<Job> | undefined

  constructor(read: () => Promise<Job>, keepMs: number) {
    this.#read = read
    this.#keepMs = keepMs
  }

  /** The job, as it was at most `keepMs` ago; an older one where it cannot be read just now. */
  async get(): Promise<Job> {
    if (this.#job !== undefined && performance.now() < this.#until) return this.#job
    this.#reading ??= this.#refresh().finally(() => {
      this.#reading = undefined
    })
    try {
      return await this.#reading
    } catch (error) {
      if (this.#job === undefined) throw error
      return this.#job
    }
  }

  /** Has it read again before the next use: a start was refused, and the job may have changed. */
  expire(): void {
    this.#until = 0
  }

  async #refresh(): Promise<Job> {
    const job = await this.#read()
    this.#job = job
    this.#until = performance.now() + this.#keepMs
    return job
  }
}

/**
 * The job's template with variables added to the environment of one container, the first unless it is named.
 *
 * @throws {TypeError} where there is no such container
 */
export function templateWith(
  job: Job,
  variables: Readonly<Record<string, string>>,
  containerName: string | undefined,
): ExecutionTemplate {
  const { containers = [], initContainers = [] } = job.template ?? {}
  const told = containerName === undefined ? containers[0] : containers.find(({ name }) => name === containerName)
  if (told === undefined) {
    const names = containers.map(({ name }) => `"${name}"`).join(', ')
    throw new TypeError(`The job has no container "${containerName ?? ''}". It has: ${names || 'none'}.`)
  }
  return {
    containers: containers.map(container => {
      const kept = carried(container)
      return container === told ? { ...kept, env: merge(kept.env ?? [], variables) } : kept
    }),
    ...(initContainers.length > 0 && { initContainers: initContainers.map(carried) }),
  }
}

/** By name: of two equal names, the last would win without a word. */
function merge(
  env: readonly EnvironmentVariable[],
  variables: Readonly<Record<string, string>>,
): EnvironmentVariable[] {
  const kept = env.filter(({ name = '' }) => !Object.hasOwn(variables, name))
  return [...kept, ...Object.entries(variables).map(([name, value]) => ({ name, value }))]
}

/** What a start can carry of a container. */
function carried({ image, name, command, args, env, resources }: JobContainer): ExecutionContainer {
  return {
    ...(image !== undefined && { image }),
    ...(name !== undefined && { name }),
    ...(command && { command }),
    ...(args && { args }),
    ...(env && { env }),
    ...(resources && { resources }),
  }
}

/** What of the job is lost in executions, or cannot work with them, as messages for an operator. */
export function flawsOf(job: Job, name: string): string[] {
  const { manualTriggerConfig: { parallelism = 1, replicaCompletionCount = 1 } = {}, replicaRetryLimit = 0 } =
    job.configuration ?? {}
  const lost = lostParts(job)
  return [
    ...(lost.length > 0
      ? [
          `The job "${name}" has ${lost.join(', ')}, which Azure drops from executions that are started with an ` +
            'environment of their own. Have the job do without.',
        ]
      : []),
    ...(parallelism > 1 || replicaCompletionCount > 1
      ? [
          `The job "${name}" runs ${Math.max(parallelism, replicaCompletionCount)} replicas for each execution. ` +
            'One does the work, and the others find nothing to claim: set parallelism and replicaCompletionCount to 1.',
        ]
      : []),
    ...(replicaRetryLimit > 0
      ? [
          `The job "${name}" restarts failed replicas ${replicaRetryLimit} times. Waybill starts the next attempt ` +
            'by itself: set replicaRetryLimit to 0.',
        ]
      : []),
  ]
}

function lostParts({ template: { containers = [], initContainers = [], volumes = [] } = {} }: Job): string[] {
  const all = [...containers, ...initContainers]
  return [
    ...(volumes.length > 0 ? ['volumes'] : []),
    ...(all.some(({ volumeMounts = [] }) => volumeMounts.length > 0) ? ['volume mounts'] : []),
    ...(all.some(({ probes = [] }) => probes.length > 0) ? ['probes'] : []),
  ]
}
