import { defineOperation } from 'waybill'
import { z } from 'zod'

/** The contract: the server, the handler, tests and browsers import it. */
export const greetings = defineOperation({
  name: 'greetings',
  input: z.object({ name: z.string().min(1).max(100) }),
  output: z.object({ text: z.string() }),
  attempts: 3,
  timeout: '1m',
})
