/**
 * The process launcher: one operating-system process for each operation, running the job entry
 * file that a container would run.
 *
 * @example
 * processLauncher({ entry: new URL('./job.ts', import.meta.url), variable: 'ORDER_ID' })
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { isAlive } from '../alive.ts'
import { giveWay } from '../give-way.ts'
import { type ExecutionState, type Launcher, LaunchRefused, type LaunchRequest } from '../launcher.ts'
import { type Checks, checkOptions, NAMED_TEXTS, needed, TEXT, TEXTS, whole } from '../options.ts'

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
  entry: needed({ must: 'a path or a file: URL', fits: entry => TEXT.fits(entry) || entry instanceof URL }),
  variable: TEXT,
  env: NAMED_TEXTS,
  limit: whole(1, 10_000),
  execArgv: TEXTS,
  niceness: whole(0, 19),
  engine: TEXT,
}

/**
 * Makes a launcher that starts processes on this machine.
 *
 * @throws {TypeError} for an unknown option, or one that cannot be right; the message names it
 */
export function processLauncher(options: ProcessLauncherOptions): Launcher {
  checkOptions('processLauncher()', options, OPTIONS)
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
    if (this.#running.size + this.#starting >= this.#limit) {
      throw new LaunchRefused(`${this.#limit} processes run already, which is the limit.`, 250)
    }
    const token = Math.random().toString(36).slice(2, 10)
    this.#starting++
    const child = await this.#spawn(request.operationId, `process-{pid}-${token}`).finally(() => this.#starting--)
    const execution = `process-${child.pid}-${token}`
    this.#running.set(execution, child)
    child.once('exit', (code, signal) => this.#exited(execution, code, signal))
    return execution
  }

  async stop(execution: string): Promise<void> {
    const child = this.#running.get(execution)
    if (child !== undefined) child.kill('SIGTERM')
    else if (isAlive(pidOf(execution))) process.kill(pidOf(execution), 'SIGTERM')
  }

  async inspect(execution: string): Promise<ExecutionState> {
    const reason = this.#ended.get(execution)
    if (reason !== undefined) return { kind: 'gone', reason }
    if (this.#running.has(execution) || isAlive(pidOf(execution))) return { kind: 'alive' }
    return { kind: 'gone', reason: `Its process, ${execution}, is gone.` }
  }

  watchEnds(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #spawn(operationId: string, execution: string): Promise<ChildProcess> {
    const { entry, env, variable, niceness = 10 } = this.#options
    const file = entry instanceof URL || entry.startsWith('file:') ? fileURLToPath(entry) : entry
    const child = spawn(process.execPath, [...(this.#options.execArgv ?? process.execArgv), file], {
      env: {
        ...process.env,
        ...env,
        WAYBILL_OPERATION_ID: operationId,
        WAYBILL_EXECUTION: execution,
        WAYBILL_ENGINE: this.engine,
        ...(variable && { [variable]: operationId }),
      },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    return new Promise((resolve, reject) => {
      child.once('error', error => reject(new LaunchRefused(`The process was not started: ${error.message}`, 1000)))
      child.once('spawn', () => {
        giveWay(child.pid, niceness)
        resolve(child)
      })
    })
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

function pidOf(execution: string): number {
  return Number(execution.split('-')[1])
}
