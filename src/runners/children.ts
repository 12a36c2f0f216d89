/**
 * Runs handlers in child processes, one attempt in each at a time, so that work that computes
 * blocks no one, and a crash costs one attempt, at once, with its reason.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { stopReason, type Task } from '../attempt.ts'
import { giveWay, type Niceness } from '../give-way.ts'
import { fileUrl } from '../handlers.ts'
import { media } from '../media.ts'
import type { RunContext, RunEnd, Runner } from '../runner.ts'
import { sibling } from '../sibling.ts'
import type { FromChild, ToChild } from './children/messages.ts'
import { makeSpool, removeSpool, removeStraySpools } from './children/spool.ts'

/** Options of {@link childrenRunner}. */
export interface ChildrenOptions {
  /** The handler files: URLs, or paths from the working directory. */
  readonly files: readonly (string | URL)[]
  /** Arguments for Node itself, such as `--max-old-space-size=512`. Default: those of this process, except for its debugger's. */
  readonly execArgv?: readonly string[]
  /**
   * How much the children give way to what else runs, from when they have loaded their handlers: `idle`, or 0 (not at
   * all) to 19. Default `idle`: on a machine whose every core computes, the API answers as if none did.
   */
  readonly niceness?: Niceness
}

/** A child that has had nothing to do for so long ends, as long as one is left. */
const IDLE_MS = 60_000
/** After so many attempts a child is replaced, which bounds what a leak can take. */
const RECYCLE_AFTER = 10_000
/** How much of a child's last words are kept to tell why it ended. */
const STDERR_TAIL = 4096

/** Makes a runner that starts children as they are needed: as many as attempts run at once. */
export function childrenRunner(options: ChildrenOptions): Runner {
  return new ChildrenRunner(options)
}

class ChildrenRunner implements Runner {
  readonly #options: ChildrenOptions
  readonly #all = new Set<Child>()
  readonly #idle: Child[] = []

  constructor(options: ChildrenOptions) {
    this.#options = options
  }

  async start(): Promise<readonly string[]> {
    await removeStraySpools()
    const child = this.#spawn()
    const types = await child.loaded
    this.#rest(child)
    return types
  }

  async run(task: Task, context: RunContext): Promise<RunEnd> {
    const child = this.#idle.pop() ?? this.#spawn()
    clearTimeout(child.idleTimer)
    try {
      await child.loaded
      if (context.host.keep !== undefined) await child.makeSpool()
    } catch (error) {
      return { kind: 'unstarted', reason: error instanceof Error ? error.message : String(error) }
    }
    const end = await child.run(task, context)
    if (child.alive && child.served < RECYCLE_AFTER) this.#rest(child)
    else child.kill()
    return end
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map(child => child.end()))
  }

  #spawn(): Child {
    const child = new Child(this.#options)
    this.#all.add(child)
    void child.exited.then(() => {
      this.#all.delete(child)
      const at = this.#idle.indexOf(child)
      if (at >= 0) this.#idle.splice(at, 1)
    })
    return child
  }

  #rest(child: Child): void {
    this.#idle.push(child)
    child.idleTimer = setTimeout(() => {
      if (this.#idle.length > 1) child.kill()
    }, IDLE_MS).unref()
  }
}

class Child {
  readonly #process: ChildProcess
  readonly loaded: Promise<readonly string[]>
  /** Resolves to the reason when the process has ended. */
  readonly exited: Promise<string>
  alive = true
  served = 0
  idleTimer: NodeJS.Timeout | undefined
  #stderr = ''
  #spool: string | undefined
  #onMessage: (message: FromChild) => void = () => {}
  #onExit: (reason: string) => void = () => {}
  #running: RunContext | undefined

  constructor(options: ChildrenOptions) {
    this.#process = fork(sibling(import.meta.url, 'children/child'), [], {
      execArgv: [...(options.execArgv ?? process.execArgv.filter(argument => !argument.startsWith('--inspect')))],
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    this.#process.stderr?.on('data', (data: Buffer) => {
      process.stderr.write(data)
      this.#stderr = (this.#stderr + data).slice(-STDERR_TAIL)
    })
    this.#process.on('message', (message: FromChild) => this.#onMessage(message))
    this.exited = this.#watchExit()
    this.loaded = this.#load(options.files.map(fileUrl))
    this.loaded.then(
      () => giveWay(this.#process.pid, options.niceness ?? 'idle'),
      () => {},
    )
  }

  run(task: Task, context: RunContext): Promise<RunEnd> {
    this.served++
    return new Promise(resolve => {
      let killer: NodeJS.Timeout | undefined
      const settle = (end: RunEnd) => {
        clearTimeout(killer)
        context.signal.removeEventListener('abort', stop)
        this.#onMessage = () => {}
        this.#onExit = () => {}
        this.#running = undefined
        resolve(end)
      }
      const stop = () => {
        const reason = stopReason(context.signal)
        this.#send({ kind: 'stop', reason })
        killer = setTimeout(() => {
          this.kill()
          settle({ kind: 'ended' })
        }, context.graceMs(reason))
      }
      this.#running = context
      this.#onMessage = message => {
        if (message.kind === 'end') settle(message.outcome)
        else void this.#serve(message, context)
      }
      this.#onExit = reason => settle({ kind: 'crashed', reason })
      if (!this.alive) return void this.exited.then(this.#onExit)
      this.#send({ kind: 'run', task, spool: this.#spool })
      if (context.signal.aborted) stop()
      else context.signal.addEventListener('abort', stop, { once: true })
    })
  }

  kill(): void {
    this.alive = false
    this.#process.kill('SIGKILL')
  }

  /** Ends the process: at once, since whatever ran in it has been handed back. */
  async end(): Promise<void> {
    this.kill()
    await this.exited
    await this.#removeSpool()
  }

  /** Makes the folder for its results, once. */
  async makeSpool(): Promise<void> {
    if (this.#spool !== undefined) return
    this.#spool = await makeSpool()
    // What it was writing when it ended is of no use to anyone.
    void this.exited.then(() => this.#removeSpool())
  }

  async #removeSpool(): Promise<void> {
    if (this.#spool !== undefined) await removeSpool(this.#spool)
  }

  async #serve(message: FromChild, context: RunContext): Promise<void> {
    const { host, onError } = context
    // An answer that comes after the run must not be taken for one to the next run.
    const answer = (reply: ToChild) => {
      if (this.#running === context) this.#send(reply)
    }
    switch (message.kind) {
      case 'progress':
        return host.progress(message.progress)
      case 'log':
        return host.log(message.level, message.message)
      case 'error':
        return onError(new Error(message.stack))
      case 'steps':
        return answer({ kind: 'steps', steps: await host.steps() })
      case 'step': {
        const { name, value } = message
        const recorded = host.recordStep(name, value).then(
          (): ToChild => ({ kind: 'recorded', name }),
          (error: unknown): ToChild => ({ kind: 'recorded', name, error: String(error) }),
        )
        return answer(await recorded)
      }
      case 'keep':
        return answer(await keep(message, context))
    }
  }

  #send(message: ToChild): void {
    // A child that has just died cannot be told; its exit is what counts.
    if (this.#process.connected) this.#process.send(message, () => {})
  }

  #load(files: readonly string[]): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      this.#onMessage = message => {
        if (message.kind === 'loaded') resolve(message.types)
        if (message.kind !== 'unloadable') return
        reject(new Error(`The handlers cannot be loaded: ${message.reason}`))
        this.kill()
      }
      void this.exited.then(reason =>
        reject(new Error(`The process for handlers ended while it loaded them: ${reason}`)),
      )
      this.#send({ kind: 'load', files })
    })
  }

  #watchExit(): Promise<string> {
    return new Promise(resolve => {
      const gone = (reason: string) => {
        this.alive = false
        resolve(reason)
        this.#onExit(reason)
      }
      this.#process.once('error', error => gone(error.message))
      this.#process.once('exit', (code, signal) => gone(this.#reason(code, signal)))
    })
  }

  #reason(code: number | null, signal: NodeJS.Signals | null): string {
    if (/heap out of memory/.test(this.#stderr)) return 'Its process ran out of memory.'
    return signal === null ? `Its process ended with exit code ${code}.` : `Its process was ended by ${signal}.`
  }
}

/** Has a file of the child kept, and deletes it where it was made for that. */
async function keep({ file, type, filename }: FromChild & { kind: 'keep' }, { host }: RunContext): Promise<ToChild> {
  try {
    const said = { type, ...(filename !== undefined && { filename }) }
    const output = await host.keep?.(media({ path: file.path }, said))
    return output === undefined ? { kind: 'unkept', error: 'There is no blob store.' } : { kind: 'kept', output }
  } catch (error) {
    return { kind: 'unkept', error: String(error) }
  } finally {
    if (file.temporary) await rm(file.path, { force: true }).catch(() => {})
  }
}
