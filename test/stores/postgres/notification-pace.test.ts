import { describe, expect, it } from 'vitest'
import { NotificationPace } from '../../../src/stores/postgres/notification-pace.ts'

/** A second in which `senders` processes send `count` notifications in all. */
function second(pace: NotificationPace, at: number, senders: number, count: number): void {
  for (let n = 0; n < count; n++) pace.arrived(`process ${n % senders}`, at + n / count)
}

describe('the pause between two notifications', () => {
  it('is short between few processes, however busy they are', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 2, 400)
    expect(pace.pauseMs(2001)).toBe(1)
  })

  it('grows with the processes that each of them wakes, of which there are few, up to a tenth of a second', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 70, 2000)
    expect(pace.pauseMs(2001)).toBeGreaterThan(30)
    second(pace, 2001, 70, 6000)
    expect(pace.pauseMs(3002)).toBe(100)
  })

  it('is short again after a quiet second', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 70, 6000)
    expect(pace.pauseMs(2001)).toBe(100)
    expect(pace.pauseMs(3002)).toBe(1)
  })

  it('stays bounded when senders are invented', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 20_000, 20_000)
    expect(pace.pauseMs(2001)).toBe(100)
  })
})

it('notifications cost almost nothing while there are few of them', () => {
  const pace = new NotificationPace()
  expect(pace.isEasy(1000)).toBe(true)
  second(pace, 1000, 6, 400)
  expect(pace.isEasy(2001)).toBe(true)
  second(pace, 2001, 6, 2000)
  expect(pace.isEasy(3002)).toBe(false)
  second(pace, 3002, 70, 400)
  expect(pace.isEasy(4003)).toBe(true)
})

describe('notifications are frequent', () => {
  it('from eight in a second on, until there are fewer than four for five seconds', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 2, 7)
    expect(pace.isBusy(2001)).toBe(false)
    second(pace, 2001, 2, 9)
    expect(pace.isBusy(3002)).toBe(true)
    second(pace, 3002, 2, 5)
    expect(pace.isBusy(4003)).toBe(true)
    second(pace, 4003, 2, 3)
    expect(pace.isBusy(5004)).toBe(true)
    expect(pace.isBusy(9002)).toBe(true)
    expect(pace.isBusy(10_003)).toBe(false)
  })

  it('for as long as a process does not listen, and until it has measured again', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 2, 9)
    expect(pace.isBusy(2001)).toBe(true)
    pace.pause()
    expect(pace.isBusy(60_000)).toBe(true)
    expect([pace.isEasy(60_000), pace.pauseMs(60_000)]).toEqual([true, 5])
    pace.resume(60_000)
    expect([pace.isBusy(60_100), pace.isCurrent]).toEqual([true, false])
    expect([pace.isBusy(61_001), pace.isCurrent, pace.pauseMs(61_001)]).toEqual([false, true, 1])
  })
})
