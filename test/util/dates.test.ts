import { expect, it } from 'vitest'
import { httpDate, isoTime, parseHttpDate, parseIsoTime } from '../../src/util/dates.ts'

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

it('reads the times that it writes', () => {
  for (const at of TIMES.filter(time => Number.isInteger(time) && time >= 0 && time < 1e14)) {
    expect(parseIsoTime(isoTime(at))).toBe(at)
    expect(parseHttpDate(httpDate(at))).toBe(at - (at % 1000))
  }
  expect(parseIsoTime('2028-02-29')).toBe(Date.UTC(2028, 1, 29))
  expect(parseIsoTime('2028-03-01t00:30:00.5+01:00')).toBe(Date.UTC(2028, 1, 29, 23, 30, 0, 500))
})

it('reads no day and no hour that does not exist', () => {
  const days = ['2027-02-29', '2027-02-31', '2027-04-31T08:00:00Z', '2027-02-30T23:00:00-05:00', '2027-13-01']
  for (const text of [...days, '2027-01-31T24:00:00Z', 'tomorrow'])
    expect([text, parseIsoTime(text)]).toEqual([text, NaN])
  for (const text of ['Wed, 31 Feb 2027 08:00:00 GMT', 'Sun, 31 Jan 2027 24:00:00 GMT', 'tomorrow'])
    expect([text, parseHttpDate(text)]).toEqual([text, NaN])
})
