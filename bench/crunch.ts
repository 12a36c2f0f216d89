/** The handler that computes without a pause. */
import { handler } from 'waybill'
import { crunches } from './orders.ts'

export default handler(crunches, input => {
  const { ms } = input as { ms: number }
  const until = performance.now() + ms
  let sum = 0
  while (performance.now() < until) for (let step = 0; step < 10_000; step++) sum += Math.sqrt(step)
  return { sum }
})
