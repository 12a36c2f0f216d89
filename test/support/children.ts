/** Workers with children, and the processes that they run handlers in. */
import { readFileSync } from 'node:fs'
import type { Waybill, WorkerOptions } from '../../src/waybill.ts'
import { handlerFile } from './handlers.ts'
import { logOf, until } from './waybill.ts'

/** A worker with one child for the handlers of `plays`, unless said otherwise. */
export function worker(init: Partial<WorkerOptions> = {}): { worker: WorkerOptions } {
  return { worker: { handlers: handlerFile('plays'), concurrency: 1, ...init } }
}

/** The process that runs the operation, once its handler has been called. */
export async function pidOf(waybill: Waybill, id: string): Promise<number> {
  return await pidIn(waybill, id, 'pid')
}

/** The program that a handler has started, once it has. */
export async function programOf(waybill: Waybill, id: string): Promise<number> {
  return await pidIn(waybill, id, 'started')
}

async function pidIn(waybill: Waybill, id: string, word: string): Promise<number> {
  let line: string | undefined
  await until(async () => {
    line = (await logOf(waybill.store, id)).find(text => text.startsWith(`${word} `))
    return line !== undefined
  })
  return Number(line?.slice(word.length + 1))
}

/** Whether there is no such process, or only what is left of it until its parent asks. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}
