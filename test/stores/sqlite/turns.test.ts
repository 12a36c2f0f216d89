/** How a writer waits beside a busy process: it is as late as the pauses between its tries are long. */
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Database } from '../../../src/stores/sqlite/database.ts'
import { migrate, migrationPlan, migrationTo, SCHEMA_VERSION } from '../../../src/stores/sqlite/schema.ts'
import { BUSY_MS, waitForTurn } from '../../../src/stores/sqlite/turns.ts'
import { temporaryFolder } from '../../support/folder.ts'

const files = temporaryFolder()
const MINUTE = 60_000

afterEach(() => {
  vi.useRealTimers()
})

/** Lets each pause pass at once, by a clock that stands still otherwise. */
function withoutPauses() {
  vi.useFakeTimers({ toFake: ['performance'] })
  const pauses: number[] = []
  vi.spyOn(Atomics, 'wait').mockImplementation((_array, _index, _value, ms = 0) => {
    pauses.push(ms)
    vi.advanceTimersByTime(ms)
    return 'timed-out'
  })
  return pauses
}

function locked(): never {
  throw new Error('database is locked')
}

test('it tries again after about a millisecond, however often it was refused', () => {
  const pauses = withoutPauses()
  let tries = 0
  expect(waitForTurn(() => (++tries <= 1000 ? locked() : 'its turn'))).toBe('its turn')
  expect(pauses).toHaveLength(1000)
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(0.5)
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1.5)
})

test('it gives up when the time for a lock is over, with the last error', () => {
  withoutPauses()
  const start = performance.now()
  expect(() => waitForTurn(locked)).toThrow('database is locked')
  expect(performance.now() - start).toBeGreaterThanOrEqual(BUSY_MS)
})

test('it waits only for locks', () => {
  const pauses = withoutPauses()
  const full = () => {
    throw new Error('database or disk is full')
  }
  expect(() => waitForTurn(full)).toThrow('database or disk is full')
  expect(pauses).toEqual([])
})

describe('a file that another process keeps locked', () => {
  /** Opens the file, which another process has locked for a minute, and returns how long it waited in milliseconds. */
  function waitForFile(path: string, other: DatabaseSync): number {
    const database = new DatabaseSync(path, { timeout: 0 })
    let waitedMs = 0
    vi.useFakeTimers({ toFake: ['performance'] })
    vi.spyOn(Atomics, 'wait').mockImplementation((_array, _index, _value, ms = 0) => {
      vi.advanceTimersByTime(ms)
      waitedMs += ms
      if (waitedMs >= MINUTE && other.isTransaction) other.exec('COMMIT')
      return 'timed-out'
    })
    try {
      migrate(database as Database, { patient: true })
      return waitedMs
    } finally {
      other.close()
      database.close()
    }
  }

  test('is waited for while that one may be migrating it', () => {
    const other = new DatabaseSync(files.next())
    const path = other.location() ?? ''
    other.exec('PRAGMA journal_mode = WAL')
    for (let version = 1; version < SCHEMA_VERSION; version++) other.exec(migrationTo(version))
    other.exec(`BEGIN IMMEDIATE; ${migrationTo(SCHEMA_VERSION)}`)
    expect(waitForFile(path, other)).toBeGreaterThanOrEqual(MINUTE)
  })

  test('is not waited for as long where there is nothing to migrate', () => {
    const other = new DatabaseSync(files.next())
    const path = other.location() ?? ''
    other.exec('PRAGMA journal_mode = WAL')
    other.exec(migrationPlan(0))
    other.exec('BEGIN IMMEDIATE')
    expect(() => waitForFile(path, other)).toThrow('database is locked')
  })
})
