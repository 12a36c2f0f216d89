import { expect, it } from 'vitest'
import { readFault } from '../../../src/launchers/kubernetes/api-fault.ts'

const DATE = 'Sun, 29 Nov 2026 10:00:00 GMT'

it.each([
  ['7', 7000],
  ['0', 1000],
  ['86400', 60_000],
  ['Sun, 29 Nov 2026 10:00:30 GMT', 30_000],
  ['Sun, 29 Nov 2026 09:00:00 GMT', 1000],
  ['soon', undefined],
  [undefined, undefined],
])('reads Retry-After %s by the date of its answer, a second at least and a minute at most', (value, ms) => {
  const headers = { date: DATE, 'retry-after': value }
  expect(readFault({ code: 429, headers }).retryAfterMs).toBe(ms)
})
