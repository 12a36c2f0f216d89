/** How a run in a child process talks to its worker: it sends messages, or asks a question and waits for the answer. */
import { join } from 'node:path'
import type { LogLevel } from '../../../model/handler.ts'
import type { Media } from '../../../model/media.ts'
import type { Progress } from '../../../model/protocol.ts'
import {
  type ChildEnd,
  type ChildSubmission,
  type Family,
  type Host,
  StopError,
  type StopReason,
  type Task,
} from '../runner.ts'
import { type FromChild, type Question, receivedError, type ToChild } from './child-messages.ts'
import { spool } from './spool.ts'

export class ChildHost implements Host {
  readonly number: number
  readonly #task: Task
  readonly #send: (content: FromChild) => void
  readonly #controller = new AbortController()
  readonly #questions = new Map<number, PromiseWithResolvers<unknown>>()
  #asked = 0
  #over = false

  /**
   * @param number the number of the run
   * @param send throws when the content cannot be cloned
   */
  constructor(number: number, task: Task, send: (content: FromChild) => void) {
    this.number = number
    this.#task = task
    this.#send = send
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  stop(reason: StopReason): void {
    this.#controller.abort(new StopError(reason))
  }

  /** Sends nothing more for this run: the worker has its outcome. */
  end(): void {
    this.#over = true
    this.#questions.clear()
  }

  answer({ question, value, error }: ToChild & { kind: 'answer' }): void {
    const asked = this.#questions.get(question)
    this.#questions.delete(question)
    if (error === undefined) asked?.resolve(value)
    else asked?.reject(receivedError(error))
  }

  progress(progress: Progress): void {
    this.#tell({ kind: 'progress', progress })
  }

  log(level: LogLevel, message: string): void {
    this.#tell({ kind: 'log', level, message })
  }

  async steps(): Promise<ReadonlyMap<string, string>> {
    return (await this.#ask({ ask: 'steps' })) as ReadonlyMap<string, string>
  }

  async recordStep(name: string, value: string): Promise<void> {
    await this.#ask({ ask: 'record-step', name, value })
  }

  async submit(children: readonly ChildSubmission[]): Promise<readonly string[]> {
    return (await this.#ask({ ask: 'submit', children })) as readonly string[]
  }

  async family(): Promise<Family> {
    return (await this.#ask({ ask: 'family' })) as Family
  }

  async childEnds(ids: readonly string[]): Promise<readonly (ChildEnd | undefined)[]> {
    return (await this.#ask({ ask: 'child-ends', ids })) as readonly (ChildEnd | undefined)[]
  }

  async childOutput(id: string): Promise<string | undefined> {
    return (await this.#ask({ ask: 'child-output', id })) as string | undefined
  }

  async upload(media: Media): Promise<string> {
    const { type, filename } = media
    const { id, attempt } = this.#task
    const path = async () => join((await this.#ask({ ask: 'folder' })) as string, `${id}-${attempt}`)
    const file = await spool(media, path, this.signal)
    return (await this.#ask({ ask: 'upload', file, type, filename })) as string
  }

  #tell(content: FromChild): void {
    if (!this.#over) this.#send(content)
  }

  async #ask(question: Question): Promise<unknown> {
    if (this.#over) throw new StopError('LeaseLostError')
    const answer = Promise.withResolvers<unknown>()
    const number = ++this.#asked
    this.#send({ kind: 'question', number, question })
    this.#questions.set(number, answer)
    return await answer.promise
  }
}
