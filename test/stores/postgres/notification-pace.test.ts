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

  it('grows with the processes that each of them wakes, up to a tenth of a second', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 70, 200)
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

  it('stays bounded with forged senders', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 20_000, 20_000)
    expect(pace.pauseMs(2001)).toBe(100)
  })
})

describe('the time over which processes spread their claims', () => {
  it('grows with each process after the second, up to a tenth of a second', () => {
    const pace = new NotificationPace()
    second(pace, 1000, 2, 400)
    expect(pace.spreadMs(2001)).toBe(0)
    second(pace, 2001, 42, 400)
    expect(pace.spreadMs(3002)).toBe(80)
    second(pace, 3002, 1000, 2000)
    expect(pace.spreadMs(4003)).toBe(100)
  })
})

it('notifications are few while at most six processes send some of them', () => {
  const pace = new NotificationPace()
  expect(pace.isEasy(1000)).toBe(true)
  second(pace, 1000, 6, 400)
  expect(pace.isEasy(2001)).toBe(true)
  second(pace, 2001, 6, 2000)
  expect(pace.isEasy(3002)).toBe(false)
  second(pace, 3002, 7, 100)
  expect(pace.isEasy(4003)).toBe(false)
})
