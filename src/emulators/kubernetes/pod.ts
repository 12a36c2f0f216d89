/** A pod: one operating-system process that stands for its first container. */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Container, Job, ValueSource } from './objects.ts'

/** What an image is here. */
export interface Image {
  /** The program and its arguments, as ENTRYPOINT. A container's `command` replaces it, and its `args` are added. */
  readonly entrypoint?: readonly string[]
  /** The environment that the image brings. It gets no other but PATH and what the Job says. */
  readonly env?: Readonly<Record<string, string>>
  readonly workingDir?: string
}

/** The parts of the cluster that pods use. */
export interface Cluster {
  readonly images: ReadonlyMap<string, Image>
  /** Secrets and ConfigMaps: name to key to value. */
  readonly secrets: ReadonlyMap<string, Readonly<Record<string, string>>>
  readonly configMaps: ReadonlyMap<string, Readonly<Record<string, string>>>
  /** How long a second lasts, in milliseconds. */
  readonly secondMs: number
}

/** What its Job learns of it. */
export interface PodListener {
  running(): void
  ended(exitCode: number): void
}

export class Pod {
  readonly name: string
  readonly #job: Job
  readonly #cluster: Cluster
  readonly #listener: PodListener
  #process: ChildProcess | undefined
  #ended = false
  #timer: NodeJS.Timeout | undefined

  constructor(name: string, job: Job, cluster: Cluster, listener: PodListener) {
    this.name = name
    this.#job = job
    this.#cluster = cluster
    this.#listener = listener
  }

  /** The process, once it runs. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Starts it if its image and its environment are available; otherwise it stays pending, and may be started later. */
  start(): void {
    const [container] = this.#job.spec.template.spec.containers
    const image = this.#cluster.images.get(container?.image ?? '')
    if (this.#process !== undefined || this.#ended || container === undefined || image === undefined) return
    const env = this.#environment(container, image)
    const [program, ...args] = [...(container.command ?? image.entrypoint ?? []), ...(container.args ?? [])]
    if (env === undefined || program === undefined) return
    const cwd = container.workingDir ?? image.workingDir
    const child = spawn(program, args, {
      env,
      ...(cwd !== undefined && { cwd }),
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    })
    this.#process = child
    child.once('spawn', () => this.#listener.running())
    child.once('error', () => this.#end(128))
    child.once('exit', (code, signal) => this.#end(code ?? 128 + constants.signals[signal ?? 'SIGKILL']))
  }

  /** Ends it as a kubelet does: SIGTERM to its first process, and SIGKILL when the grace period is over. */
  terminate(): void {
    if (this.#ended || this.#timer !== undefined) return
    if (this.#process === undefined) {
      this.#end(137)
      return
    }
    const grace = this.#job.spec.template.spec.terminationGracePeriodSeconds ?? 30
    this.#process.kill('SIGTERM')
    this.#timer = setTimeout(() => this.kill('SIGKILL'), grace * this.#cluster.secondMs)
  }

  /** Sends a signal without the API, as a crash does. */
  kill(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  #end(exitCode: number): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    this.#killGroup()
    this.#listener.ended(exitCode)
  }

  /** Nothing outlives the first process of a container. */
  #killGroup(): void {
    try {
      if (this.pid !== undefined) process.kill(-this.pid, 'SIGKILL')
    } catch {
      // There is nothing left.
    }
  }

  /** Undefined if a part of it is missing. */
  #environment(container: Container, image: Image): Record<string, string> | undefined {
    const env: Record<string, string> = { PATH: process.env.PATH ?? '', HOSTNAME: this.name, ...image.env }
    for (const { name, value = '', valueFrom } of container.env ?? []) {
      const found = valueFrom ? this.#valueOf(valueFrom) : expand(value, env)
      if (found === undefined) return undefined
      if (found !== null) env[name] = found
    }
    return env
  }

  /** Null if it is missing and optional. */
  #valueOf({ fieldRef, secretKeyRef, configMapKeyRef }: ValueSource): string | null | undefined {
    if (fieldRef !== undefined) return this.#fieldOf(fieldRef.fieldPath)
    const ref = secretKeyRef ?? configMapKeyRef
    if (ref === undefined) return undefined
    const kept = secretKeyRef ? this.#cluster.secrets : this.#cluster.configMaps
    return kept.get(ref.name)?.[ref.key] ?? (ref.optional === true ? null : undefined)
  }

  #fieldOf(path: string): string | undefined {
    const { namespace } = this.#job.metadata
    const [, label] = /^metadata\.labels\['([^']+)'\]$/.exec(path) ?? []
    if (label !== undefined) return this.#job.spec.template.metadata?.labels?.[label] ?? ''
    return { 'metadata.name': this.name, 'metadata.namespace': namespace }[path]
  }
}

/** `$(NAME)` of a variable that was set before stands for its value. */
function expand(value: string, env: Readonly<Record<string, string>>): string {
  return value.replace(/\$\(([-._a-zA-Z0-9]+)\)/g, (text, name: string) => env[name] ?? text)
}
