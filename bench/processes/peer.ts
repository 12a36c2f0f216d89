/** A process of the benchmark and the one that started it: questions go one way, answers come back in order. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A process that was started. */
export class Peer<Question extends object, Answer> {
  readonly #process: ChildProcess

  constructor(script: string, argument: object = {}) {
    const { NODE_OPTIONS: _, ...env } = process.env
    const path = fileURLToPath(new URL(script, import.meta.url))
    this.#process = fork(path, [JSON.stringify(argument)], { execArgv: execArgv(path), env, serialization: 'advanced' })
  }

  /** Asks, and waits for the answer. One question at a time. */
  async ask(question: Question): Promise<Answer> {
    const answer = this.answer()
    this.#process.send(question)
    return await answer
  }

  /** The next answer; the first one comes unasked, when the process is ready. */
  async answer(): Promise<Answer> {
    const gone = once(this.#process, 'exit').then(() => {
      throw new Error(`${this.#process.spawnfile} ${this.#process.spawnargs.slice(1).join(' ')} has ended.`)
    })
    const [answer] = await Promise.race([once(this.#process, 'message'), gone])
    if (isFailure(answer)) throw new Error(answer.failure)
    return answer as Answer
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = once(this.#process, 'exit')
    this.#process.disconnect()
    await exited
  }
}

/** BENCH_PROFILE names a folder for CPU profiles of the servers. */
function execArgv(path: string): string[] {
  const folder = process.env.BENCH_PROFILE
  return folder !== undefined && path.endsWith('server.ts') ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : []
}

/** Serves questions until the process that asks has gone. `ready` is the first answer. */
export function serve<Question, Answer>(ready: Answer, answer: (question: Question) => Promise<Answer>): void {
  process.on('message', (question: Question) => {
    answer(question).then(
      value => process.send?.(value),
      (error: Error) => process.send?.({ failure: error.stack ?? error.message }),
    )
  })
  process.send?.(ready)
}

/** What this process was started with. */
export function argument<Argument>(): Argument {
  return JSON.parse(process.argv[2] ?? '{}') as Argument
}

function isFailure(answer: unknown): answer is { failure: string } {
  return typeof answer === 'object' && answer !== null && 'failure' in answer
}
