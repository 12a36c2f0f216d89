/** One run in a child process, as its worker sees it: from when it is sent to its one end. */
import { rm } from 'node:fs/promises'
import { media } from '../../../model/media.ts'
import type { AttemptError } from '../../../model/operation.ts'
import { describeError } from '../../attempt-error.ts'
import { type Host, type RunContext, type RunResult, stopReason, type Task } from '../runner.ts'
import type { FromChild, Question, ToChild } from './child-messages.ts'
import { LEFT_BEHIND_EXIT_CODE } from './environment.ts'

/** How a run in one child ended; `unbegun`: the child never confirmed it, so no handler was called. */
export type ChildRunResult = RunResult | { readonly kind: 'unbegun'; readonly reason: string }

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null
  readonly reason: string
}

const LEFT_BEHIND = 'Its process was ended by code left running by another attempt or by the loading of the handlers.'

/** What a run does with its child. */
export interface RunPort {
  /** False where the child cannot be reached. Never throws. */
  send(content: ToChild): boolean
  /** Ends the child and what its handlers have started. */
  kill(): void
  /** The folder for the bytes of results; made at the first call. */
  folder(): Promise<string>
  /** Logs a fault of the host or the logger, and never throws. */
  report(error: unknown): void
}

export class ChildRun {
  readonly end: Promise<ChildRunResult>
  readonly #context: RunContext
  readonly #port: RunPort
  readonly #settle: (end: ChildRunResult) => void
  readonly #onAbort = (): void => this.#guard(() => this.#stop())
  #begun = false
  #over = false
  #uncaught: AttemptError | undefined
  #killer: NodeJS.Timeout | undefined

  constructor(context: RunContext, port: RunPort) {
    const { promise, resolve } = Promise.withResolvers<ChildRunResult>()
    this.end = promise
    this.#settle = resolve
    this.#context = context
    this.#port = port
  }

  /** Sends the run to the child. */
  start(task: Task): void {
    const { host, signal } = this.#context
    const sent = this.#port.send({ kind: 'run', task, canUpload: host.upload !== undefined })
    if (!sent) this.#finish({ kind: 'unbegun', reason: 'Its process was gone.' })
    else if (signal.aborted) this.#onAbort()
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Handles a message of the child. */
  take(content: FromChild): void {
    if (this.#over) return
    switch (content.kind) {
      case 'begun':
        this.#begun = true
        break
      case 'end':
        this.#finish(content.outcome)
        break
      case 'uncaught':
        this.#uncaught = content.error
        break
      case 'progress':
        this.#guard(host => host.progress(content.progress))
        break
      case 'log':
        this.#guard(host => host.log(content.level, content.message))
        break
      case 'question':
        void this.#answer(content.number, content.question)
    }
  }

  /** Called when the child has ended and all its messages were handled. */
  processEnded({ code, reason }: ProcessEnd): void {
    if (!this.#begun) this.#finish({ kind: 'unbegun', reason })
    else if (code === LEFT_BEHIND_EXIT_CODE) this.#finish({ kind: 'lost', reason: LEFT_BEHIND })
    else this.#finish({ kind: 'crashed', reason, ...(this.#uncaught && { error: this.#uncaught }) })
  }

  #finish(end: ChildRunResult): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#killer)
    this.#context.signal.removeEventListener('abort', this.#onAbort)
    this.#settle(end)
  }

  #stop(): void {
    if (this.#over) return
    const { signal, graceMs } = this.#context
    const reason = stopReason(signal)
    this.#port.send({ kind: 'stop', reason })
    this.#killer = setTimeout(() => {
      this.#port.kill()
      this.#finish(
        this.#begun ? { kind: 'ended' } : { kind: 'unbegun', reason: 'Its process did not begin it in time.' },
      )
    }, graceMs(reason))
  }

  #guard(call: (host: Host) => void): void {
    try {
      call(this.#context.host)
    } catch (error) {
      this.#port.report(error)
    }
  }

  /** Never rejects. After the run, nothing waits for the answer any more. */
  async #answer(question: number, asked: Question): Promise<void> {
    const answer = await this.#ask(asked).then(
      value => ({ value }),
      (error: unknown) => ({ error: describeError(error) }),
    )
    if (this.#over || this.#port.send({ kind: 'answer', question, ...answer })) return
    const error = { name: 'TypeError', message: 'The answer could not be sent to the process of the handler.' }
    this.#port.send({ kind: 'answer', question, error })
  }

  async #ask(asked: Question): Promise<unknown> {
    const { host } = this.#context
    switch (asked.ask) {
      case 'steps':
        return await host.steps()
      case 'record-step':
        return await host.recordStep(asked.name, asked.value)
      case 'submit':
        return await host.submit(asked.children)
      case 'family':
        return await host.family()
      case 'child-ends':
        return await host.childEnds(asked.ids)
      case 'child-output':
        return await host.childOutput(asked.id)
      case 'folder':
        return await this.#port.folder()
      case 'upload':
        return await this.#upload(asked)
    }
  }

  /** Has the file of a result uploaded, and deletes it if it was written for that. */
  async #upload({ file, type, filename }: Question & { ask: 'upload' }): Promise<string> {
    try {
      const { host } = this.#context
      if (host.upload === undefined) throw new Error('There is no blob store.')
      return await host.upload(media({ path: file.path }, { type, filename }))
    } finally {
      if (file.temporary) await rm(file.path, { force: true }).catch(() => {})
    }
  }
}
