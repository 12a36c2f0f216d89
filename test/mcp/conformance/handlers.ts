import { setTimeout as sleep } from 'node:timers/promises'
import { handler, ProblemError } from 'waybill'
import { errorHandling, failingJob, greet, protocolErrorJob, simpleText, slowCompute, withProgress } from './tools.ts'

export default [
  handler(greet, ({ name }) => `Hello, ${name}!`),
  handler(slowCompute, async ({ seconds, label }, job) => {
    await sleep(seconds * 1000, undefined, { signal: job.signal })
    return `${label} took ${seconds} s`
  }),
  handler(failingJob, async (_, job) => {
    await sleep(1000, undefined, { signal: job.signal })
    throw new ProblemError({ status: 422, title: 'The job failed', detail: 'It always does.' })
  }),
  handler(protocolErrorJob, () => {
    throw new TypeError('A fault, as every program may have.')
  }),
  handler(simpleText, () => 'This is a simple text response for testing.'),
  handler(errorHandling, () => {
    throw new ProblemError({ status: 400, title: 'This tool intentionally returns an error for testing' })
  }),
  handler(withProgress, async (_, job) => {
    for (const fraction of [0, 0.5, 1]) {
      job.progress(fraction)
      await sleep(300, undefined, { signal: job.signal })
    }
    return 'Done.'
  }),
]
