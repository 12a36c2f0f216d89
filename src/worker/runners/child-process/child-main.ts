/**
 * The program of a child process: it runs handlers for a worker, one attempt at a time. It holds no lease and opens no
 * store. The worker does both, so a handler that blocks this process loses nothing.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Worker } from 'node:worker_threads'
import type { Handler } from '../../../model/handler.ts'
import type { Outcome } from '../../../model/operation.ts'
import { problem } from '../../../model/problem.ts'
import { markedParent } from '../../../util/process-origin.ts'
import { runAttempt } from '../../attempt.ts'
import { describeError } from '../../attempt-error.ts'
import { loadHandlers } from '../../handlers.ts'
import type { Host, Task } from '../runner.ts'
import { ChildHost } from './child-host.ts'
import { enclose, type FromChild, readToChild, type ToChild } from './child-messages.ts'
import { LEFT_BEHIND_EXIT_CODE } from './environment.ts'

/** Taken before handlers are loaded, since they may replace it. */
const post = process.send?.bind(process)
/** The number of the run that the current code belongs to, also in timers and promises. */
const origin = new AsyncLocalStorage<number>()
let handlers: ReadonlyMap<string, Handler> = new Map()
let running: ChildHost | undefined

/** @throws when the content cannot be cloned */
function send(run: number, content: FromChild): void {
  if (process.connected) post?.(enclose(run, content), undefined, undefined, () => {})
}

async function load(files: readonly string[]): Promise<void> {
  try {
    handlers = await loadHandlers(files)
    send(0, { kind: 'loaded', types: [...handlers.keys()] })
  } catch (error) {
    const { name, message, stack } = describeError(error)
    send(0, { kind: 'unloadable', reason: stack ?? `${name}: ${message}` })
  }
}

async function run(number: number, task: Task, canUpload: boolean): Promise<void> {
  send(number, { kind: 'begun' })
  const host = new ChildHost(number, task, content => send(number, content))
  running = host
  const context = { host: canUpload ? host : withoutUpload(host), signal: host.signal }
  const outcome = await origin.run(number, () => runAttempt(handlers.get(task.type), task, context))
  host.end()
  running = undefined
  sendOutcome(number, outcome)
}

function withoutUpload(host: Host): Host {
  return {
    progress: progress => host.progress(progress),
    log: (level, message) => host.log(level, message),
    steps: () => host.steps(),
    recordStep: (name, value) => host.recordStep(name, value),
    submit: children => host.submit(children),
    family: () => host.family(),
    childEnds: ids => host.childEnds(ids),
    childOutput: id => host.childOutput(id),
  }
}

/**
 * An outcome that cannot be sent, such as one that holds a function, would be the same the next time, so the failure is
 * final.
 */
function sendOutcome(number: number, outcome: Outcome): void {
  try {
    send(number, { kind: 'end', outcome })
  } catch (error) {
    const outcome: Outcome = { kind: 'failed', problem: problem('operation-failed'), error: describeError(error) }
    send(number, { kind: 'end', outcome })
  }
}

function take(number: number, content: ToChild): void {
  switch (content.kind) {
    case 'load':
      return void load(content.files)
    case 'run':
      return void run(number, content.task, content.canUpload)
    case 'stop':
      if (number === running?.number) running.stop(content.reason)
      return
    case 'answer':
      if (number === running?.number) running.answer(content)
  }
}

process.on('message', received => {
  const message = readToChild(received)
  if (message !== undefined) take(message.run, message.content)
})

// Without this message, the attempt would only have the exit code of the process to show.
process.on('uncaughtExceptionMonitor', error => {
  const number = running?.number
  if (number !== undefined && origin.getStore() === number)
    send(number, { kind: 'uncaught', error: describeError(error) })
})

// An exit that the running attempt did not cause must not count as its failure.
process.on('exit', () => {
  if (running !== undefined && origin.getStore() !== running.number) process.exitCode = LEFT_BEHIND_EXIT_CODE
})

// The worker decides when this process ends.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('disconnect', killGroup)

/** Ends this process and all that its handlers have started. */
function killGroup(): void {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } catch {
    process.exit(0)
  }
}

/** A handler that blocks this event loop cannot see that the worker has died; a thread can. */
const WATCH_PARENT = `
  const parent = ${markedParent('child') ?? process.ppid}
  setInterval(() => {
    if (process.ppid === parent) return
    try { process.kill(-process.pid, 'SIGKILL') } catch { process.kill(process.pid, 'SIGKILL') }
  }, 1000)
`
new Worker(WATCH_PARENT, { eval: true, execArgv: [] }).unref()
