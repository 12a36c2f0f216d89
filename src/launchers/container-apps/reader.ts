/**
 * The one reader of what the SDK returns. Azure Resource Manager sends `null` for nearly every optional property,
 * and the SDK passes it on, though its types say `undefined`. Here null, absent and ill-typed are the same.
 */
import { type Fields, fieldsOf, itemsOf, numberOf, stringOf } from '../../util/fields.ts'
import type { EnvironmentVariable, ExecutionContainer } from './container-apps-client.ts'

/** The properties of a job resource that are used. */
export interface JobDescription {
  readonly containers: readonly JobContainer[]
  readonly initContainers: readonly JobContainer[]
  readonly hasVolumes: boolean
  /** Seconds; undefined where the resource does not say. */
  readonly replicaTimeout: number | undefined
  readonly replicaRetryLimit: number
  /** Replicas of each execution. */
  readonly replicas: number
}

/** A container of a job, and those of its properties that a start cannot carry. */
export interface JobContainer {
  readonly carried: ExecutionContainer
  readonly hasVolumeMounts: boolean
  readonly hasProbes: boolean
}

/** The properties of an execution that are used. */
export interface ExecutionDescription {
  readonly name: string
  /** `Unknown` where the resource does not say. */
  readonly status: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number | undefined
  /** The environment variables of all its containers together. */
  readonly env: ReadonlyMap<string, string>
  readonly reason: string | undefined
  readonly message: string | undefined
  /** Containers that ended with another exit code than 0. */
  readonly failures: readonly ContainerFailure[]
}

export interface ContainerFailure {
  readonly container: string
  readonly code: number
  readonly information: string | undefined
}

/**
 * Waits for a call of the SDK. The SDK parses the response and fails with a `TypeError` if it is unexpected, which does
 * not help an operator.
 */
export async function answerOf<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new Error('The SDK could not read what Azure answered.', { cause: error })
  }
}

export function readJob(resource: unknown): JobDescription {
  const { template, configuration } = fieldsOf(resource)
  const { containers, initContainers, volumes } = fieldsOf(template)
  const { replicaTimeout, replicaRetryLimit, manualTriggerConfig } = fieldsOf(configuration)
  const { parallelism, replicaCompletionCount } = fieldsOf(manualTriggerConfig)
  return {
    containers: itemsOf(containers).map(readContainer),
    initContainers: itemsOf(initContainers).map(readContainer),
    hasVolumes: itemsOf(volumes).length > 0,
    replicaTimeout: numberOf(replicaTimeout),
    replicaRetryLimit: numberOf(replicaRetryLimit) ?? 0,
    replicas: Math.max(numberOf(parallelism) ?? 1, numberOf(replicaCompletionCount) ?? 1),
  }
}

export function readExecution(resource: unknown): ExecutionDescription {
  const { name, status, startTime, template, reason, message, detailedStatus } = fieldsOf(resource)
  return {
    name: stringOf(name) ?? '',
    status: stringOf(status) || 'Unknown',
    startedAt: startTime instanceof Date ? numberOf(startTime.getTime()) : undefined,
    env: new Map(
      itemsOf(fieldsOf(template).containers)
        .flatMap(({ env }) => itemsOf(env).map(readVariable))
        .flatMap(({ name: variable, value }) => (variable && value !== undefined ? [[variable, value] as const] : [])),
    ),
    reason: stringOf(reason),
    message: stringOf(message),
    failures: itemsOf(fieldsOf(detailedStatus).replicas)
      .flatMap(({ containers }) => itemsOf(containers))
      .flatMap(readFailure),
  }
}

function readContainer({ image, name, command, args, env, resources, volumeMounts, probes }: Fields): JobContainer {
  const size = readResources(resources)
  return {
    carried: present({
      image: stringOf(image),
      name: stringOf(name),
      command: stringsOf(command),
      args: stringsOf(args),
      env: Array.isArray(env) ? itemsOf(env).map(readVariable) : undefined,
      resources: Object.keys(size).length > 0 ? size : undefined,
    }),
    hasVolumeMounts: itemsOf(volumeMounts).length > 0,
    hasProbes: itemsOf(probes).length > 0,
  }
}

function readResources(resources: unknown): { cpu?: number; memory?: string } {
  const { cpu, memory } = fieldsOf(resources)
  return present({ cpu: numberOf(cpu), memory: stringOf(memory) })
}

function readVariable({ name, value, secretRef }: Fields): EnvironmentVariable {
  return present({ name: stringOf(name), value: stringOf(value), secretRef: stringOf(secretRef) })
}

function readFailure({ name, code, additionalInformation }: Fields): ContainerFailure[] {
  const exitCode = numberOf(code) ?? 0
  if (exitCode === 0) return []
  return [{ container: stringOf(name) || 'a container', code: exitCode, information: stringOf(additionalInformation) }]
}

function stringsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter(it => typeof it === 'string') : undefined
}

/** Without the properties that are undefined. */
function present<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, it]) => it !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}
