import { setTimeout as sleep } from 'node:timers/promises'
import { handler, type Job, media, ProblemError } from 'waybill'
import { z } from 'zod'
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
  handler(tools.confirmDelete, async ({ filename }, job) => {
    const { confirm } = await job.ask('confirm', {
      message: `Delete ${filename}?`,
      schema: z.object({ confirm: z.boolean() }),
    })
    return confirm ? `Deleted ${filename}.` : `Kept ${filename}.`
  }),
  handler(tools.multiInput, async (_, job) => {
    const schema = z.object({ name: z.string() })
    const answers = await Promise.all([
      job.ask('first', { message: 'The first name?', schema }),
      job.ask('second', { message: 'The second name?', schema }),
    ])
    return answers.map(({ name }) => name).join(' ')
  }),
  handler(tools.withTask, async (_, job) => {
    const schema = z.object({ name: z.string() })
    const { name } = await job.ask('user_name', { message: 'What is your name?', schema })
    await sleep(200, undefined, { signal: job.signal })
    return `Hello, ${name}!`
  }),
  handler(tools.missingCapability, (_, job) => job.askModel('words', { prompt: 'Say something.' })),
  handler(tools.sampling, async ({ prompt }, job) => {
    const answer = await job.askModel('answer', { prompt, maxTokens: 100 })
    return `LLM response: ${answer}`
  }),
  handler(tools.mixedContent, () => ({
    text: 'Multiple content types test:',
    picture: PNG,
    data: { test: 'data', value: 123 },
  })),
  handler(tools.elicitation, ({ message }, job) =>
    ask(job, message, { username: { type: 'string' }, email: { type: 'string' } }),
  ),
  handler(tools.elicitationDefaults, (_, job) =>
    ask(job, 'Please check this.', {
      name: { type: 'string', default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true },
    }),
  ),
  handler(tools.elicitationEnums, (_, job) => {
    const options = ['option1', 'option2', 'option3']
    const titled = [1, 2, 3].map(number => ({ const: `value${number}`, title: `Option ${number}` }))
    return ask(job, 'Please choose.', {
      untitledSingle: { type: 'string', enum: options },
      titledSingle: { type: 'string', oneOf: titled },
      legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
      untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
      titledMulti: { type: 'array', items: { anyOf: titled } },
    })
  }),
  handler(tools.watched, async (_, job) => await job.event('change')),
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

async function ask(job: Job, message: string, properties: object): Promise<string> {
  const answer = await job.ask('answer', { message, schema: { type: 'object', properties } })
  return `Elicitation completed: action=accept, content=${JSON.stringify(answer)}`
}
