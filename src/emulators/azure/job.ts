/** A Container Apps Job as the emulator keeps it, and what a start makes of its template. */
import { ArmProblem } from './arm-problem.ts'

export interface EmulatedVariable {
  readonly name: string
  readonly value?: string
  readonly secretRef?: string
}

/** A container. Only the first of a template is run: as a process of this machine, whatever its image is. */
export interface EmulatedContainer {
  readonly name: string
  readonly image: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly env?: readonly EmulatedVariable[]
  readonly resources?: { readonly cpu?: number; readonly memory?: string }
  readonly volumeMounts?: readonly object[]
  readonly probes?: readonly object[]
}

export interface EmulatedTemplate {
  readonly containers: readonly EmulatedContainer[]
  readonly initContainers?: readonly EmulatedContainer[]
  readonly volumes?: readonly object[]
}

/** The definition of an emulated job. */
export interface EmulatedJobInit {
  readonly name: string
  /** The command of the image: a program and its arguments. `node` is the Node that runs the emulator. */
  readonly command: readonly string[]
  /** The environment of its container. */
  readonly env?: Readonly<Record<string, string>>
  /** The secrets for `secretRef` in the environment. */
  readonly secrets?: Readonly<Record<string, string>>
  /** Its working directory. Default: that of the emulator. */
  readonly cwd?: string
  /** Seconds after which a replica is ended. Default 1800. */
  readonly replicaTimeout?: number
  /** How often a replica that failed is run again. Default 0. */
  readonly replicaRetryLimit?: number
  /** The whole template, where more than one container with an environment is wanted. */
  readonly template?: EmulatedTemplate
}

export class EmulatedJob {
  readonly name: string
  readonly command: readonly string[]
  readonly cwd: string
  readonly secrets: Readonly<Record<string, string>>
  readonly replicaTimeout: number
  readonly replicaRetryLimit: number
  /** May be replaced at any time, as by an update of the resource. */
  template: EmulatedTemplate

  constructor(init: EmulatedJobInit) {
    this.name = init.name
    this.command = init.command
    this.cwd = init.cwd ?? process.cwd()
    this.secrets = init.secrets ?? {}
    this.replicaTimeout = init.replicaTimeout ?? 1800
    this.replicaRetryLimit = init.replicaRetryLimit ?? 0
    this.template = init.template ?? templateOf(init)
  }

  /** As a GET of the resource describes it: the service sends `null` for nearly everything that is not set. */
  resource(id: string): object {
    const secrets = Object.keys(this.secrets).map(name => ({ name }))
    return {
      id,
      name: this.name,
      type: 'Microsoft.App/jobs',
      location: 'Local',
      systemData: null,
      properties: {
        provisioningState: 'Succeeded',
        environmentId: id.replace(/jobs\/[^/]+$/, 'managedEnvironments/local'),
        workloadProfileName: 'Consumption',
        configuration: {
          secrets: secrets.length > 0 ? secrets : null,
          triggerType: 'Manual',
          replicaTimeout: this.replicaTimeout,
          replicaRetryLimit: this.replicaRetryLimit,
          manualTriggerConfig: { parallelism: 1, replicaCompletionCount: 1 },
          scheduleTriggerConfig: null,
          eventTriggerConfig: null,
          registries: null,
          dapr: null,
        },
        template: describeTemplate(this.template),
        eventStreamEndpoint: null,
      },
      identity: { type: 'None' },
    }
  }

  /**
   * The template of an execution: the job's, or the one of the start, which replaces all of it.
   *
   * @throws {ArmProblem} for a body that the service would not take
   */
  templateFor(body: string): EmulatedTemplate {
    const sent = body === '' ? {} : parse(body)
    const unknown = Object.keys(sent).find(key => key !== 'containers' && key !== 'initContainers')
    if (unknown !== undefined) throw invalid(`Could not find member '${unknown}' on JobExecutionTemplate.`)
    if (Object.keys(sent).length === 0) return this.template
    const containers = readContainers(sent.containers)
    if (containers.length === 0) throw invalid('The template has no containers.')
    const initContainers = sent.initContainers ? readContainers(sent.initContainers) : undefined
    return { containers, ...(initContainers && { initContainers }) }
  }
}

/** A template as answers show it. */
export function describeTemplate({ containers, initContainers, volumes }: EmulatedTemplate): object {
  return {
    containers: containers.map(describeContainer),
    initContainers: initContainers?.map(describeContainer) ?? null,
    volumes: volumes ?? null,
  }
}

function describeContainer({ resources, ...rest }: EmulatedContainer): object {
  return { ...rest, ...(resources && { resources: { ...resources, ephemeralStorage: '' } }) }
}

function templateOf({ name, env = {}, secrets = {} }: EmulatedJobInit): EmulatedTemplate {
  const variables = Object.entries(env).map(([variable, value]) => ({ name: variable, value }))
  const secret = Object.keys(secrets).map(it => ({ name: it.toUpperCase().replaceAll('-', '_'), secretRef: it }))
  const container = { name, image: `local/${name}`, resources: { cpu: 0.5, memory: '1Gi' } }
  const all = [...variables, ...secret]
  // A job without an environment has no `env` at all: programs that rely on one fail on Azure, too.
  return { containers: [all.length > 0 ? { ...container, env: all } : container] }
}

function parse(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Refused below.
  }
  throw invalid('The request content was invalid and could not be deserialized.')
}

const CONTAINER_KEYS = new Set(['image', 'name', 'command', 'args', 'env', 'resources'])

function readContainers(value: unknown): EmulatedContainer[] {
  if (!Array.isArray(value)) throw invalid('containers must be an array.')
  return value.map((container: Record<string, unknown>) => {
    const unknown = Object.keys(container).find(key => !CONTAINER_KEYS.has(key))
    if (unknown !== undefined) throw invalid(`Could not find member '${unknown}' on JobExecutionContainer.`)
    // "env/args at start are ignored unless an image is given": better refused than ignored.
    if (typeof container.image !== 'string' || typeof container.name !== 'string') {
      throw invalid('Each container needs an image and a name.')
    }
    return container as unknown as EmulatedContainer
  })
}

function invalid(message: string): ArmProblem {
  return new ArmProblem(400, 'InvalidRequestContent', message)
}
