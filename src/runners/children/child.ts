/**
 * The process that runs handlers for a worker, one attempt at a time. It holds no lease and
 * opens no store: the worker does both, so a handler that blocks this process loses nothing.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type Host, runAttempt, StopError, type Task } from '../../attempt.ts'
import { loadHandlers } from '../../handlers.ts'
import type { Handler } from '../../operation-type.ts'
import type { FromChild, ToChild } from './messages.ts'
import { spool } from './spool.ts'

let handlers: ReadonlyMap<string, Handler> = new Map()
let controller = new AbortController()
let giveSteps: (steps: ReadonlyMap<string, string>) => void = () => {}
const recordings = new Map<string, PromiseWithResolvers<void>>()
let keeping = Promise.withResolvers<string>()

/** What one run tells the worker; nothing of it goes out once the run is over, when the worker would take it for the next run's. */
function hostOf(isOver: () => boolean, file: string | undefined, { signal }: AbortController): Host {
  const tell = (message: FromChild) => {
    if (!isOver()) send(message)
  }
  return {
    progress: progress => tell({ kind: 'progress', progress }),
    log: (level, message) => tell({ kind: 'log', level, message }),
    steps: () =>
      new Promise(resolve => {
        giveSteps = resolve
        tell({ kind: 'steps' })
      }),
    recordStep: (name, value) => {
      const recording = Promise.withResolvers<void>()
      if (isOver()) recording.reject(new StopError('LeaseLostError'))
      else recordings.set(name, recording)
      tell({ kind: 'step', name, value })
      return recording.promise
    },
    ...(file !== undefined && {
      keep: async media => {
        const { type, filename } = media
        tell({ kind: 'keep', file: await spool(media, file, signal), type, filename })
        return await keeping.promise
      },
    }),
  }
}

function send(message: FromChild): void {
  if (process.connected) process.send?.(message)
}

async function load(files: readonly string[]): Promise<void> {
  try {
    handlers = await loadHandlers(files)
    send({ kind: 'loaded', types: [...handlers.keys()] })
  } catch (error) {
    send({ kind: 'unloadable', reason: stackOf(error) })
  }
}

async function run(task: Task, folder: string | undefined): Promise<void> {
  controller = new AbortController()
  recordings.clear()
  keeping = Promise.withResolvers()
  const file = folder && join(folder, `${task.id}-${task.attempt}`)
  let over = false
  const outcome = await runAttempt(handlers.get(task.type), task, {
    host: hostOf(() => over, file, controller),
    signal: controller.signal,
  })
  over = true
  send({ kind: 'end', outcome })
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

process.on('message', (message: ToChild) => {
  switch (message.kind) {
    case 'load':
      return void load(message.files)
    case 'run':
      return void run(message.task, message.spool)
    case 'stop':
      return controller.abort(new StopError(message.reason))
    case 'steps':
      return giveSteps(message.steps)
    case 'kept':
      return keeping.resolve(message.output)
    case 'unkept':
      return keeping.reject(new Error(message.error))
    case 'recorded': {
      const recording = recordings.get(message.name)
      if (message.error === undefined) return recording?.resolve()
      return recording?.reject(new Error(message.error))
    }
  }
})

// The worker decides when this process ends: a Ctrl-C reaches the whole group of processes at once.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})
process.on('disconnect', () => process.exit(0))

/** A handler that blocks this event loop cannot see that the worker has died; a thread can. */
const WATCH_PARENT = `
  const parent = ${process.ppid}
  setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL') }, 1000)
`
new Worker(WATCH_PARENT, { eval: true, execArgv: [] }).unref()
