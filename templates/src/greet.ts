import { setTimeout as sleep } from 'node:timers/promises'
import { handler } from 'waybill'
import { greetings } from './greetings.ts'

/** The work. It runs in a process of its own, and again if that process dies. */
export default handler(greetings, async ({ name }, job) => {
  const text = await job.step('compose', () => `Hello, ${name}!`) // recorded: a retry does not run it again
  for (let part = 1; part <= 5; part++) {
    await sleep(200, undefined, { signal: job.signal }) // your long work; the signal ends it on cancel
    job.progress(part / 5, `letter ${part} of 5`)
  }
  return { text }
})
