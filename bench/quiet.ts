/** What other programs take of the machine while a benchmark would like to have it to itself. */
import { cpus } from 'node:os'

const SAMPLE_MS = 200
/** Cores that other programs may take before they are waited for. */
const TOLERATED = 0.15

/**
 * Waits until the machine has little to do, but not for longer than `seconds`.
 *
 * @returns how many cores others were using in the end
 */
export async function quiet(seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1000
  let busy = await busyCores()
  while (busy > TOLERATED && performance.now() < until) busy = await busyCores()
  return busy
}

async function busyCores(): Promise<number> {
  const before = busyMs()
  const began = performance.now()
  await new Promise(resolve => setTimeout(resolve, SAMPLE_MS))
  return (busyMs() - before) / (performance.now() - began)
}

function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
}
