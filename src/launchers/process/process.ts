/**
 * The process launcher: one operating-system process for each operation, running the job entry
 * file that a container would run.
 *
 * @example
 * processLauncher({ entry: new URL('../job.ts', import.meta.url), variable: 'ORDER_ID' })
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Checks, checkOptions, integer, required, STRING, STRING_RECORD, STRINGS } from '../../model/options.ts'
import { inheritedExecArgv } from '../../util/exec-argv.ts'
import { giveWay } from '../../util/niceness.ts'
import { isStartedAs, originMark } from '../../util/process-origin.ts'
import { fillProcessName } from '../../util/process-start.ts'
import { type ExecutionState, type Launcher, LaunchRefused, type LaunchRequest } from '../launcher.ts'
import { isElsewhere, isRunning, nameTemplate, parseName } from './execution-name.ts'

/** Options of {@link processLauncher}. */
export interface ProcessLauncherOptions {
  /** The job entry file: a URL, or a path from the working directory. It calls `runOperation`. */
  readonly entry: string | URL
  /** A further environment variable that holds the operation's id, beside `WAYBILL_OPERATION_ID`. */
  readonly variable?: string
  /** What else is put into the environment; it inherits this process' own. */
  readonly env?: Readonly<Record<string, string>>
  /** How many processes run at once. Default: as many as the machine can run in parallel, and at least 4. */
  readonly limit?: number
  /** Arguments for Node itself. Default: those this process was started with. */
  readonly execArgv?: readonly string[]
  /** How much the processes give way to this one, from 0 to 19. Default 10. */
  readonly niceness?: number
  /** What it is called in the record. Default `process`; another name where launchers of this kind that do not see each other's executions work on one store. */
  readonly engine?: string
}

/** How long the reason why a process ended is remembered, for whoever inspects it. */
const REMEMBERED = 1000

const OPTIONS: Checks<ProcessLauncherOptions> = {
  entry: required({ expected: 'a path or a file: URL', test: entry => STRING.test(entry) || entry instanceof URL }),
  variable: STRING,
  env: STRING_RECORD,
  limit: integer(1, 10_000),
  execArgv: STRINGS,
  niceness: integer(0, 19),
  engine: STRING,
}

/** A program that is its own entry would start itself without an end. */
const OTHER_ENTRY =
  'Let the entry of processLauncher() name a file that calls runOperation() and loads no such program.'

/**
 * Makes a launcher that starts processes on this machine.
 *
 * @throws {TypeError} for an unknown option, or one that cannot be right, such as an `entry` that is the program of this
 * process; the message names it
 */
export function processLauncher(options: ProcessLauncherOptions): Launcher {
  checkOptions('processLauncher()', options, OPTIONS)
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
    this.#limit = options.limit ?? Math.max(4, availableParallelism())
  }

  async start(request: LaunchRequest): Promise<string> {
    refuseInStarted()
    if (this.#running.size + this.#starting >= this.#limit) {
      const message = `${this.#limit} processes run already, which is the limit.`
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
    // Of another machine's process nothing is known here: its lease tells.
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
    giveWay(child.pid, niceness)
    return child
  }

  /** Some errors of the system are thrown, and others come as an event. */
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
    if (this.#ended.size > REMEMBERED && oldest !== undefined) this.#ended.delete(oldest)
    for (const listener of this.#listeners) listener()
  }
}

function entryFile(entry: string | URL): string {
  return entry instanceof URL || entry.startsWith('file:') ? fileURLToPath(entry) : entry
}

/** Links are followed, as Node does for the program that it runs. */
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

/** What a launcher, or a worker, has started must start no more of its kind. */
function refuseInStarted(): void {
  if (!isStartedAs('execution') && !isStartedAs('child')) return
  const message = `This process runs a handler, and the program that starts processes runs in it again. ${OTHER_ENTRY}`
  throw new LaunchRefused(message, 60_000, { reason: 'unusable' })
}

function notStarted(cause: unknown): LaunchRefused {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new LaunchRefused(`The process was not started: ${why}`, 1000, { cause })
}
