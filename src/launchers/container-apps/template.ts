/**
 * The template of the executions. A start can replace the job's whole template or nothing. So the template of the job
 * is read, cached, and sent with each start, with only the environment of one container changed.
 */
import type { EnvironmentVariable, ExecutionTemplate } from './container-apps-client.ts'
import type { JobDescription } from './reader.ts'

/** The job cannot be started as it is; the message says why. */
export class UnusableJob extends Error {
  override readonly name = 'UnusableJob'
}

/** A job resource that is read when it is needed and cached for a while. */
export class KeptJob {
  readonly #read: () => Promise<JobDescription>
  readonly #keepMs: number
  #job: JobDescription | undefined
  #until = 0
  #reading: Promise<JobDescription> | undefined

  constructor(read: () => Promise<JobDescription>, keepMs: number) {
    this.#read = read
    this.#keepMs = keepMs
  }

  /** The job as it was at most `keepMs` ago, or an older version if it cannot be read at the moment. */
  async get(): Promise<JobDescription> {
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

  /** Makes the next use read the job again: a start was refused, and the job may have changed. */
  expire(): void {
    this.#until = 0
  }

  async #refresh(): Promise<JobDescription> {
    const job = await this.#read()
    this.#job = job
    this.#until = performance.now() + this.#keepMs
    return job
  }
}

/**
 * The job's template with variables added to the environment of one container, the first unless it is named.
 *
 * @throws {UnusableJob} where there is no such container
 */
export function templateWith(
  { containers, initContainers }: JobDescription,
  variables: Readonly<Record<string, string>>,
  containerName: string | undefined,
): ExecutionTemplate {
  const changed =
    containerName === undefined ? containers[0] : containers.find(({ carried }) => carried.name === containerName)
  if (changed === undefined) {
    const names = containers.map(({ carried }) => `"${carried.name}"`).join(', ')
    throw new UnusableJob(`The job has no container "${containerName ?? ''}". It has: ${names || 'none'}.`)
  }
  return {
    containers: containers.map(container => {
      const { carried } = container
      return container === changed ? { ...carried, env: merge(carried.env ?? [], variables) } : carried
    }),
    ...(initContainers.length > 0 && { initContainers: initContainers.map(({ carried }) => carried) }),
  }
}

/** Replaced by name: of two variables with one name, the last would win silently. */
function merge(
  env: readonly EnvironmentVariable[],
  variables: Readonly<Record<string, string>>,
): EnvironmentVariable[] {
  const kept = env.filter(({ name = '' }) => !Object.hasOwn(variables, name))
  return [...kept, ...Object.entries(variables).map(([name, value]) => ({ name, value }))]
}

/** Which settings of the job executions lose or cannot work with, as messages for an operator. */
export function flawsOf(job: JobDescription, name: string): string[] {
  const { replicas, replicaRetryLimit } = job
  const lost = lostParts(job)
  return [
    ...(lost.length > 0
      ? [
          `The job "${name}" has ${lost.join(', ')}, which Azure drops from executions that are started with an ` +
            'environment of their own. Remove that from the job.',
        ]
      : []),
    ...(replicas > 1
      ? [
          `The job "${name}" runs ${replicas} replicas for each execution. ` +
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

function lostParts({ containers, initContainers, hasVolumes }: JobDescription): string[] {
  const all = [...containers, ...initContainers]
  return [
    ...(hasVolumes ? ['volumes'] : []),
    ...(all.some(({ hasVolumeMounts }) => hasVolumeMounts) ? ['volume mounts'] : []),
    ...(all.some(({ hasProbes }) => hasProbes) ? ['probes'] : []),
  ]
}
