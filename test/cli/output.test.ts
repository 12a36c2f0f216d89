import { describe, expect, test } from 'vitest'
import { describeWait, span } from '../../src/cli/output.ts'

describe('what commands print', () => {
  test.for([
    [{ kind: 'time', name: 'cooling', until: 0 }, 'sleeps until 1970-01-01T00:00:00.000Z'],
    [{ kind: 'event', name: 'paid', until: null }, 'waits for the event "paid"'],
    [{ kind: 'input', name: 'approval', until: 0 }, 'waits for an answer to "approval" until 1970-01-01T00:00:00.000Z'],
    [{ kind: 'children', name: 'all', until: null }, 'waits for its children'],
  ] as const)('of the wait %j', ([wait, says]) => {
    expect(describeWait(wait)).toBe(says)
  })

  test.for([
    [250, '250 ms'],
    [1500, '1.5 s'],
    [60_000, '1 min'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [11_040_000, '3 h 4 min'],
  ] as const)('of %d ms', ([ms, says]) => {
    expect(span(ms)).toBe(says)
  })
})
