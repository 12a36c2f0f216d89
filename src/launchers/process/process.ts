/**
 * The process launcher: one operating-system process for each operation. It runs the job entry file that a container
 * would run.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Checks, checkOptions, integer, required, STRING, STRING_RECORD, STRINGS } from '../../model/options.ts'
import { inheritedExecArgv } from '../../util/exec-argv.ts'
import { lowerPriority } from '../../util/niceness.ts'
import { isStartedAs, originMark } from '../../util/process-origin.ts'
import { fillProcessName } from '../../util/process-start.ts'
import { type ExecutionState, type Launcher, LaunchRefused, type LaunchRequest } from '../launcher.ts'
import { isElsewhere, isRunning, nameTemplate, parseName } from './execution-name.ts'

/** Options of {@link processLauncher}. */
export interface ProcessLauncherOptions {
  /** The job entry file: a URL, or a path from the working directory. It calls `runOperation`. */
  readonly entry: string | URL
  /** A further environment variable that holds the operation's id, beside `WAYBILL_OPERATION_ID`. */
  readonly variable?: string | undefined
  /** Further environment variables. Processes also inherit the environment of this one. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How many processes may run at once, 1 to 10,000. Default: the parallelism of the machine, and at least 4. */
  readonly maxProcesses?: number | undefined
  /** Arguments for Node. Default: those this process was started with. */
  readonly execArgv?: readonly string[] | undefined
  /** By how much the processes' priority is below this one's, from 0 to 19. Default 10. */
  readonly niceness?: number | undefined
  /**
   * The engine's name in the record. Default `process`. Launchers on several machines that work on one store need
   * different names, since none sees the processes of another machine.
   */
  readonly engine?: string | undefined
}

/** For how many ended processes the reason is kept, for a later `inspect`. */
const KEPT_REASONS = 1000

const OPTIONS: Checks<ProcessLauncherOptions> = {
  entry: required({ expected: 'a path or a file: URL', test: entry => STRING.test(entry) || entry instanceof URL }),
  variable: STRING,
  env: STRING_RECORD,
  maxProcesses: integer(1, 10_000),
  execArgv: STRINGS,
  niceness: integer(0, 19),
  engine: STRING,
}

/** A program that is its own entry would start itself endlessly. */
const OTHER_ENTRY =
  'Set the entry of processLauncher() to a file that calls runOperation() and does not load that program.'

/**
 * Makes a launcher that starts one process on this machine for each operation.
 *
 * @throws {TypeError} for an unknown or invalid option, such as an `entry` that is the program of this process; the
 * message names it
 * @example
 * const launcher = processLauncher({ entry: new URL('./job.ts', import.meta.url), variable: 'ORDER_ID' })
 * createWaybill({ operations: [orders], store, dispatcher: { launcher } })
 */
export function processLauncher(options: ProcessLauncherOptions): Launcher {
  checkOptions('processLauncher()', options, OPTIONS, { limit: 'maxProcesses' })
  if (isOwnProgram(entryFile(options.entry))) {
    throw new TypeError(`${String(options.entry)} is the program that starts processes. ${OTHER_ENTRY}`)
  }
  return new ProcessLauncher(options)
}

class ProcessLauncher implements Launcher {
  readonly engine: string
  readonly #options: ProcessLauncherOptions
  readonly #limit: number
  readonly #running = new Map<string, ChildProcess>()
  #starting = 0
  readonly #ended = new Map<string, string>()
  readonly #listeners = new Set<() => void>()

  constructor(options: ProcessLauncherOptions) {
    this.#options = options
    this.engine = options.engine ?? 'process'
    this.#limit = options.maxProcesses ?? Math.max(4, availableParallelism())
  }

  async start(request: LaunchRequest): Promise<string> {
    refuseInStarted()
    if (this.#running.size + this.#starting >= this.#limit) {
      const message = `${this.#limit} processes are running, which is the maximum (maxProcesses).`
      throw new LaunchRefused(message, 250, { reason: 'limit' })
    }
    const template = nameTemplate(Math.random().toString(36).slice(2, 10))
    this.#starting++
    try {
      const child = await this.#spawn(request.operationId, template)
      const execution = fillProcessName(template, child.pid ?? 0)
      this.#running.set(execution, child)
      child.once('exit', (code, signal) => this.#exited(execution, code, signal))
      return execution
    } finally {
      this.#starting--
    }
  }

  async stop(execution: string): Promise<void> {
    const child = this.#running.get(execution)
    if (child !== undefined) {
      child.kill('SIGTERM')
      return
    }
    const named = parseName(execution)
    if (named !== undefined && !isElsewhere(named) && isRunning(named)) process.kill(named.pid, 'SIGTERM')
  }

  async inspect(execution: string): Promise<ExecutionState> {
    const reason = this.#ended.get(execution)
    if (reason !== undefined) return { kind: 'gone', reason }
    if (this.#running.has(execution)) return { kind: 'alive' }
    const named = parseName(execution)
    // A process of another machine cannot be seen from here. If it dies, its lease expires.
    if (named !== undefined && (isElsewhere(named) || isRunning(named))) return { kind: 'alive' }
    return { kind: 'gone', reason: `Its process, ${execution}, is gone.` }
  }

  watchEnds(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async #spawn(operationId: string, execution: string): Promise<ChildProcess> {
    const { niceness = 10 } = this.#options
    const child = this.#tryToSpawn(operationId, execution)
    await new Promise<void>((resolve, reject) => {
      child.once('error', error => reject(notStarted(error)))
      child.once('spawn', resolve)
    })
    lowerPriority(child.pid, niceness)
    return child
  }

  /** `spawn` throws some errors and emits others as events. */
  #tryToSpawn(operationId: string, execution: string): ChildProcess {
    const { entry, env, variable, execArgv = inheritedExecArgv() } = this.#options
    try {
      return spawn(process.execPath, [...execArgv, entryFile(entry)], {
        env: {
          ...process.env,
          ...env,
          WAYBILL_OPERATION_ID: operationId,
          WAYBILL_EXECUTION: execution,
          WAYBILL_ENGINE: this.engine,
          ...originMark('execution'),
          ...(variable && { [variable]: operationId }),
        },
        stdio: ['ignore', 'inherit', 'inherit'],
      })
    } catch (error) {
      throw notStarted(error)
    }
  }

  #exited(execution: string, code: number | null, signal: NodeJS.Signals | null): void {
    this.#running.delete(execution)
    const how = signal === null ? `with exit code ${code}` : `by ${signal}`
    this.#ended.set(execution, `Its process ended ${how}.`)
    const oldest = this.#ended.keys().next().value
    if (this.#ended.size > KEPT_REASONS && oldest !== undefined) this.#ended.delete(oldest)
    for (const listener of this.#listeners) listener()
  }
}

function entryFile(entry: string | URL): string {
  return entry instanceof URL || entry.startsWith('file:') ? fileURLToPath(entry) : entry
}

/** Resolves symbolic links, as Node does for the program that it runs. */
function isOwnProgram(file: string): boolean {
  const program = process.argv[1]
  return program !== undefined && realPath(file) === realPath(program)
}

function realPath(file: string): string {
  try {
    return realpathSync(file)
  } catch {
    return resolve(file)
  }
}

/** An execution, or a worker's child process, must not start further executions. */
function refuseInStarted(): void {
  if (!isStartedAs('execution') && !isStartedAs('child')) return
  const message = `This process runs a handler, and has loaded the program that starts processes. ${OTHER_ENTRY}`
  throw new LaunchRefused(message, 60_000, { reason: 'unusable' })
}

function notStarted(cause: unknown): LaunchRefused {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new LaunchRefused(`The process was not started: ${why}`, 1000, { cause })
}
