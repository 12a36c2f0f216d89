/** A child process that runs handlers, as its worker sees it. It is in exactly one state, and only an idle one is given a run. */
import { type ChildProcess, fork } from 'node:child_process'
import { inheritedExecArgv } from '../../../util/exec-argv.ts'
import { siblingModuleUrl } from '../../../util/module-url.ts'
import { lowerPriority, type Niceness } from '../../../util/niceness.ts'
import { originMark } from '../../../util/process-origin.ts'
import { lateHandlers } from '../../handlers.ts'
import type { RunContext, Task } from '../runner.ts'
import { enclose, type FromChild, isWatchReport, readFromChild, type ToChild } from './child-messages.ts'
import { ChildRun, type ChildRunResult, type ProcessEnd } from './child-run.ts'
import { makeSpool, removeSpool } from './spool.ts'
import { relayStderr } from './stderr.ts'

/** The state of a child. It is `ending` from the moment when it is killed or has ended by itself. */
export type ChildState = 'starting' | 'idle' | 'busy' | 'ending'

/** What a child is made with. */
export interface ChildSettings {
  /** URLs of the handler files. */
  readonly files: readonly string[]
  readonly execArgv: readonly string[] | undefined
  readonly niceness: Niceness
  readonly startTimeoutMs: number
  /** Logs a fault, and never throws. */
  readonly report: (error: unknown, message: string) => void
}

/** How much of what a child last wrote to standard error is kept, to find out why it ended. */
const STDERR_TAIL = 4096
/** How long to wait, after a process has ended, for what it sent before. Another process may hold its pipes open. */
const DRAIN_MS = 1000
/**
 * Under `node --watch`, each process reports the files that it has loaded. This process also reports those of its
 * children.
 */
const IS_WATCHED = process.env.WATCH_REPORT_DEPENDENCIES !== undefined
/**
 * The child leads a process group, so that everything a handler has started can be killed. Windows has no process
 * groups.
 */
const GROUPS = process.platform !== 'win32'

export class Child {
  /** The names of the operation types that it has handlers for. Rejects if it cannot be made ready. */
  readonly loaded: Promise<readonly string[]>
  /** Resolves when the process has ended, all its messages were handled, and its folder is deleted. */
  readonly exited: Promise<ProcessEnd>
  /** Runs that it was given. */
  served = 0
  readonly #process: ChildProcess
  readonly #settings: ChildSettings
  readonly #load = Promise.withResolvers<readonly string[]>()
  readonly #exit = Promise.withResolvers<ProcessEnd>()
  readonly #startLimit: NodeJS.Timeout
  #state: ChildState = 'starting'
  #run: ChildRun | undefined
  #stderr = ''
  #spool: Promise<string> | undefined
  #idleTimer: NodeJS.Timeout | undefined
  #strangeMessages = 0

  /** @throws when the system cannot start a process */
  constructor(settings: ChildSettings) {
    this.#settings = settings
    this.loaded = this.#load.promise
    this.exited = this.#exit.promise
    this.#process = fork(siblingModuleUrl(import.meta.url, 'child-main'), [], {
      execArgv: [...(settings.execArgv ?? inheritedExecArgv())],
      env: { ...process.env, ...originMark('child') },
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      detached: GROUPS,
    })
    this.#startLimit = setTimeout(
      this.#guard(() => this.#startedLate()),
      settings.startTimeoutMs,
    )
    this.#listen()
    this.#send(0, { kind: 'load', files: settings.files })
  }

  get state(): ChildState {
    return this.#state
  }

  /** Reserves the child: no other run is given it until {@link rest}. */
  reserve(): void {
    this.#state = 'busy'
    clearTimeout(this.#idleTimer)
  }

  /** Frees the child for the next run. `onIdle` is called when it has had no run for that time. */
  rest(idleMs: number, onIdle: () => void): void {
    this.#state = 'idle'
    this.#idleTimer = setTimeout(this.#guard(onIdle), idleMs).unref()
  }

  /** Runs an attempt in a child that was reserved. Never rejects. */
  async run(task: Task, context: RunContext): Promise<ChildRunResult> {
    if (this.#state !== 'busy') return { kind: 'unbegun', reason: 'Its process had ended.' }
    const number = ++this.served
    const run = new ChildRun(context, {
      send: content => this.#send(number, content),
      kill: () => this.kill(),
      folder: () => this.#folder(),
      report: error => this.#settings.report(error, 'The worker failed while it followed a run in a child process'),
    })
    this.#run = run
    run.start(task)
    const end = await run.end
    this.#run = undefined
    return end
  }

  /** Kills the child and everything that its handlers have started. */
  kill(): void {
    if (this.#state === 'ending') return
    this.#state = 'ending'
    clearTimeout(this.#idleTimer)
    this.#killProcesses()
  }

  #listen(): void {
    const { stderr } = this.#process
    // When the system has no file descriptors left, the process object has no streams.
    if (stderr) {
      stderr.on('error', () => {})
      relayStderr(stderr, data => {
        this.#stderr = (this.#stderr + data).slice(-STDERR_TAIL)
      })
    }
    this.#process.on(
      'message',
      this.#guard((received: unknown) => this.#take(received)),
    )
    this.#process.on(
      'error',
      this.#guard((error: Error) => this.#failed(error)),
    )
    this.#process.once(
      'exit',
      this.#guard((code: number | null, signal: NodeJS.Signals | null) => this.#ended(code, signal)),
    )
  }

  #take(received: unknown): void {
    const message = readFromChild(received)
    if (message === undefined) this.#takeStrange(received)
    else if (message.run === 0) this.#takeLoad(message.content)
    // A late message belongs to a run that is over.
    else if (message.run === this.served) this.#run?.take(message.content)
  }

  #takeStrange(received: unknown): void {
    if (IS_WATCHED && isWatchReport(received)) process.send?.(received, undefined, undefined, () => {})
    else this.#ignore()
  }

  #ignore(): void {
    if (++this.#strangeMessages > 1) return
    const error = new Error('A handler, or what it has loaded, calls process.send() in its child process.')
    this.#settings.report(error, "A message that is not Waybill's was ignored, as are all others from this process")
  }

  #takeLoad(content: FromChild): void {
    if (this.#state !== 'starting') return
    if (content.kind === 'unloadable') this.#startFailed(`The handlers cannot be loaded: ${content.reason}`)
    if (content.kind !== 'loaded') return
    clearTimeout(this.#startLimit)
    lowerPriority(this.#process.pid, this.#settings.niceness)
    this.#load.resolve(content.types)
  }

  #startedLate(): void {
    const { files, startTimeoutMs } = this.#settings
    this.#startFailed(lateHandlers(files, startTimeoutMs))
  }

  #startFailed(reason: string): void {
    this.kill()
    this.#load.reject(new Error(reason))
  }

  /** The process could not be started, or could not be sent a message. In the second case its exit follows. */
  #failed(error: Error): void {
    if (this.#process.pid === undefined) this.#gone({ code: null, reason: error.message })
    else this.kill()
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.#state = 'ending'
    this.#killProcesses()
    const gone = this.#guard(() => this.#gone({ code, reason: this.#reason(code, signal) }))
    const timer = setTimeout(gone, DRAIN_MS)
    this.#process.once('close', () => {
      clearTimeout(timer)
      gone()
    })
  }

  #gone(end: ProcessEnd): void {
    this.#state = 'ending'
    clearTimeout(this.#startLimit)
    clearTimeout(this.#idleTimer)
    this.#load.reject(new Error(`The process for handlers ended while it loaded them: ${end.reason}`))
    this.#run?.processEnded(end)
    void this.#removeSpool().then(() => this.#exit.resolve(end))
  }

  /** A file that it was writing when it ended is incomplete. */
  async #removeSpool(): Promise<void> {
    const folder = await this.#spool?.catch(() => undefined)
    if (folder !== undefined) await removeSpool(folder)
  }

  #killProcesses(): void {
    const { pid } = this.#process
    if (pid === undefined) return
    try {
      if (GROUPS) process.kill(-pid, 'SIGKILL')
      else this.#process.kill('SIGKILL')
    } catch {
      // All processes of the group have ended.
    }
  }

  #reason(code: number | null, signal: NodeJS.Signals | null): string {
    if (/heap out of memory/.test(this.#stderr)) return 'Its process ran out of memory.'
    return signal === null ? `Its process ended with exit code ${code}.` : `Its process was ended by ${signal}.`
  }

  async #folder(): Promise<string> {
    this.#spool ??= makeSpool()
    try {
      return await this.#spool
    } catch (error) {
      this.#spool = undefined
      throw error
    }
  }

  #send(run: number, content: ToChild): boolean {
    if (!this.#process.connected) return false
    try {
      // An error of the write is followed by the exit, which is what counts.
      this.#process.send(enclose(run, content), () => {})
      return true
    } catch (error) {
      this.#settings.report(error, 'Could not send a message to a child process')
      return false
    }
  }

  #guard<Given extends unknown[]>(callback: (...given: Given) => void): (...given: Given) => void {
    return (...given) => {
      try {
        callback(...given)
      } catch (error) {
        this.#settings.report(error, 'The worker failed to follow a child process')
      }
    }
  }
}
