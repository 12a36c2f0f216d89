import { setTimeout as sleep } from 'node:timers/promises'
import { handler, type Job, media, ProblemError } from 'waybill'
import { PNG } from './methods.ts'
import * as tools from './tools.ts'

/** A sound of no length: the header of a file alone. */
const WAV = Buffer.from('UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=', 'base64')

export default [
  handler(tools.greet, ({ name }) => `Hello, ${name}!`),
  handler(tools.slowCompute, async ({ seconds, label }, job) => {
    await sleep(seconds * 1000, undefined, { signal: job.signal })
    return `${label} took ${seconds} s`
  }),
  handler(tools.failingJob, async (_, job) => {
    await sleep(1000, undefined, { signal: job.signal })
    throw new ProblemError({ status: 422, title: 'The job failed', detail: 'It always does.' })
  }),
  handler(tools.protocolErrorJob, () => {
    throw new TypeError('A fault, as every program may have.')
  }),
  handler(tools.simpleText, () => 'This is a simple text response for testing.'),
  handler(tools.errorHandling, () => {
    throw new ProblemError({ status: 400, title: 'This tool intentionally returns an error for testing' })
  }),
  handler(tools.withProgress, async (_, job) => {
    for (const fraction of [0, 0.5, 1]) {
      job.progress(fraction)
      await sleep(300, undefined, { signal: job.signal })
    }
    return 'Done.'
  }),
  handler(tools.image, () => media(Buffer.from(PNG, 'base64'), { type: 'image/png' })),
  handler(tools.audio, () => media(WAV, { type: 'audio/wav' })),
  handler(tools.embeddedResource, () => media('This is an embedded resource content.', { type: 'text/plain' })),
  handler(tools.jsonSchema, () => 'Done.'),
  handler(tools.withLogging, logAll),
  handler(tools.logging, logAll),
  handler(tools.streaming, async (_, job) => {
    await sleep(300, undefined, { signal: job.signal })
    return 'Done.'
  }),
]

async function logAll(_: unknown, job: Job): Promise<string> {
  for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
    job.log(line)
    await sleep(50)
  }
  return 'Done.'
}
