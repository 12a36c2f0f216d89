/** The tools that the conformance suite of MCP asks servers for. */
import { defineOperation } from 'waybill'
import { z } from 'zod'

const text = z.string()

/** Sync-only: never a task. */
export const greet = defineOperation({
  name: 'greet',
  input: z.object({ name: z.string().default('World') }),
  tool: { task: 'forbidden', description: 'Greets.', annotations: { readOnlyHint: true } },
})

export const slowCompute = defineOperation({
  name: 'slow-compute',
  input: z.object({ seconds: z.number().min(0).max(600), label: z.string() }),
  tool: { name: 'slow_compute', description: 'Sleeps for some seconds.' },
})

export const failingJob = defineOperation({
  name: 'failing-job',
  attempts: 1,
  tool: { name: 'failing_job', description: 'Fails after a second.', task: 'required' },
})

export const protocolErrorJob = defineOperation({
  name: 'protocol-error-job',
  attempts: 1,
  tool: { name: 'protocol_error_job', description: 'Meets a fault.', task: 'required' },
})

export const simpleText = defineOperation({
  name: 'simple-text',
  output: text,
  tool: { name: 'test_simple_text', description: 'Returns text.' },
})

export const errorHandling = defineOperation({
  name: 'error-handling',
  attempts: 1,
  tool: { name: 'test_error_handling', description: 'Returns an error.' },
})

export const withProgress = defineOperation({
  name: 'with-progress',
  output: text,
  tool: { name: 'test_tool_with_progress', description: 'Reports its progress.' },
})
