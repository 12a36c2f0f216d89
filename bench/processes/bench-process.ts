/** A process of the benchmark and the one that started it: one question at a time, and its answer. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/**
 * Where Node keeps what it has compiled. The programs are TypeScript, as they are in a checkout: without it, the compiler
 * that Node brings for that would count as memory of each of them.
 */
const COMPILE_CACHE = fileURLToPath(new URL('../data/compile-cache', import.meta.url))

/** A process that was started. */
export class BenchProcess<Question extends object, Answer> {
  readonly #process: ChildProcess
  #awaited = Promise.withResolvers<Answer>()

  /**
   * @param nodeOptions of the process, beside those of a profile
   * @param variables of its environment, beside those of this process
   */
  constructor(
    script: string,
    argument: object = {},
    nodeOptions: readonly string[] = [],
    variables: NodeJS.ProcessEnv = {},
  ) {
    const { NODE_OPTIONS: _, ...own } = process.env
    const env = { ...own, ...variables, NODE_COMPILE_CACHE: COMPILE_CACHE }
    const path = fileURLToPath(new URL(script, import.meta.url))
    const execArgv = [...nodeOptions, ...profileOptions(path)]
    this.#process = fork(path, [JSON.stringify(argument)], { execArgv, env, serialization: 'advanced' })
    this.#process.on('message', message => {
      if (isFailure(message)) this.#awaited.reject(new Error(message.failure))
      else this.#awaited.resolve(message as Answer)
    })
    this.#process.on('exit', code => this.#awaited.reject(new Error(`${script} has ended with code ${code}.`)))
    this.#awaited.promise.catch(() => {})
  }

  /** The first answer, which comes unasked when the process is ready. */
  ready(): Promise<Answer> {
    return this.#awaited.promise
  }

  async ask(question: Question): Promise<Answer> {
    this.#awaited = Promise.withResolvers<Answer>()
    this.#process.send(question)
    return await this.#awaited.promise
  }

  /** Lets the process end, which it does when nobody can ask it any more. */
  async end(): Promise<void> {
    if (!this.#process.connected) return
    const exited = once(this.#process, 'exit')
    this.#process.disconnect()
    await exited
  }
}

/** BENCH_PROFILE names a folder for CPU profiles of the servers. */
function profileOptions(path: string): string[] {
  const folder = process.env.BENCH_PROFILE
  return folder !== undefined && /(?:server|contender)\.ts$/.test(path)
    ? ['--cpu-prof', `--cpu-prof-dir=${folder}`]
    : []
}

/** Serves questions. `ready` is the first answer. */
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
