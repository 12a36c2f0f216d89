/** Runs executions: a limited number at once, in the order of their starts, each after a while that stands for its cold start. */
import { Execution, type ExecutionHost } from './execution.ts'
import type { EmulatedJob, EmulatedTemplate } from './job.ts'

export interface MachineOptions extends ExecutionHost {
  /** How many run at once. */
  readonly parallel: number
  /** Milliseconds from a start until the process runs. */
  readonly coldStartMs: number
  /** Milliseconds from a start until its execution is listed and found. */
  readonly listDelayMs: number
}

export class Machine {
  readonly executions: Execution[] = []
  readonly #options: MachineOptions
  readonly #waiting: Execution[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  #running = 0
  #closed = false

  constructor(options: MachineOptions) {
    this.#options = options
  }

  start(job: EmulatedJob, template: EmulatedTemplate): Execution {
    const execution = new Execution(job, template, this.#options)
    this.executions.push(execution)
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#waiting.push(execution)
      this.#next()
    }, this.#options.coldStartMs)
    this.#timers.add(timer)
    return execution
  }

  /** The executions of a job that the engine shows, newest first. */
  of(job: EmulatedJob): Execution[] {
    const until = Date.now() - this.#options.listDelayMs
    return this.executions.filter(it => it.job === job && !it.vanished && it.startedAt <= until).reverse()
  }

  /** Ends every process at once. */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    const running = this.executions.filter(({ pid }) => pid !== undefined)
    for (const execution of running) execution.stop()
    for (const execution of running) execution.kill()
    await Promise.all(running.map(({ end }) => end))
  }

  #next(): void {
    if (this.#closed || this.#running >= this.#options.parallel) return
    const execution = this.#waiting.shift()
    if (execution === undefined) return
    this.#running++
    void execution.end.then(() => {
      this.#running--
      this.#next()
    })
    execution.run()
    this.#next()
  }
}
