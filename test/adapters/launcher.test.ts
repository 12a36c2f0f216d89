/** A launcher written outside of src, with what `waybill/adapters` exports. */
import { describe, it } from 'vitest'
import { type LauncherUnderTest, launcherConformance } from 'waybill/testing'
import { Threads, threadLauncher } from '../fixtures/adapters/launcher.ts'

const FOR_EVER = new URL('data:text/javascript,setInterval(() => {}, 1000)')

async function make(): Promise<LauncherUnderTest> {
  const threads = new Threads()
  const { limit } = threads
  return {
    launcher: threadLauncher(threads, FOR_EVER),
    another: () => threadLauncher(threads, FOR_EVER),
    kill: async execution => void (await threads.running.get(execution)?.terminate()),
    refuse: () => {
      threads.limit = 0
    },
    accept: () => {
      threads.limit = limit
    },
    countStarted: id => threads.started.filter(started => started === id).length,
    close: async () => void (await Promise.all([...threads.running.values()].map(thread => thread.terminate()))),
  }
}

launcherConformance({ name: 'a launcher of your own', make }, { describe, it })
