import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** A child process that speaks over IPC: what it reports is kept in order, and can be waited for. */
export class Child<Command extends object, Report> {
  readonly reports: Report[] = []
  readonly #process: ChildProcess
  readonly #closed: Promise<unknown>
  readonly #waiting = new Set<() => void>()

  /** @param module the fixture to run, with its arguments */
  constructor(module: URL, ...args: string[]) {
    this.#process = fork(module, args)
    this.#process.on('message', (report: Report) => {
      this.reports.push(report)
      this.#wake()
    })
    this.#closed = once(this.#process, 'close')
    this.#process.once('close', () => this.#wake())
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  tell(command: Command): void {
    this.#process.send(command)
  }

  /** The first report that fits, be it in the past or to come. */
  async report<Fitting extends Report>(fits: (report: Report) => report is Fitting): Promise<Fitting>
  async report(fits: (report: Report) => boolean): Promise<Report>
  async report(fits: (report: Report) => boolean): Promise<Report> {
    for (;;) {
      const report = this.reports.find(fits)
      if (report !== undefined) return report
      await this.#more()
    }
  }

  /** Resolves when it has reported this often what fits. */
  async reported(count: number, fits: (report: Report) => boolean): Promise<void> {
    while (this.reports.filter(fits).length < count) await this.#more()
  }

  /** Resolves when it has made its first report, or fails where it ends before. */
  async started(): Promise<this> {
    await this.report(() => true)
    return this
  }

  /** Ends it at once, as a crash would, and waits until all that it had said has arrived. */
  async kill(): Promise<void> {
    if (this.#ended) return
    const closed = this.ended()
    this.#process.kill('SIGKILL')
    await closed
  }

  /** Resolves when it is gone, and all that it had said has arrived. */
  async ended(): Promise<void> {
    await this.#closed
  }

  get #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  async #more(): Promise<void> {
    if (this.#ended) throw new Error(`The child process has ended with ${this.#process.exitCode}.`)
    await new Promise<void>(resolve => this.#waiting.add(resolve))
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
