import { expect, it } from 'vitest'
import { httpDate, isoTime } from '../../src/util/dates.ts'

const DAY = 86_400_000
/** Times around the changes of what is kept, of all parts of a date, and at the ends of what a date can say. */
const TIMES = [
  0,
  -1,
  -0.4,
  -1.5,
  999.9,
  999,
  59_999,
  60_000,
  3_599_999,
  DAY - 1,
  DAY,
  951_782_400_000,
  1_796_000_000_123,
  -8.64e15,
  8.64e15,
]

it('formats every time as Date does, whatever was formatted before', () => {
  for (const first of TIMES) {
    for (const at of [first, ...TIMES, first]) {
      expect(isoTime(at)).toBe(new Date(at).toISOString())
      expect(httpDate(at)).toBe(new Date(at).toUTCString())
    }
  }
})

it('refuses what is not a time, and goes on', () => {
  for (const none of [Number.NaN, 8.65e15, Number.POSITIVE_INFINITY]) expect(() => isoTime(none)).toThrow(RangeError)
  expect(isoTime(1)).toBe(new Date(1).toISOString())
})
