/** How a SQLite store notices what other processes commit, whatever the file system reports. */
import { appendFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CommitWatcher } from '../../../src/stores/sqlite/commit-watcher.ts'
import { temporaryFolder } from '../../support/folder.ts'

const files = temporaryFolder()
const watchers: CommitWatcher[] = []

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})

afterEach(() => {
  for (const watcher of watchers.splice(0)) watcher.close()
  vi.useRealTimers()
})

/** Watches a file whose version is what the test says. */
function watch(path: string) {
  const seen = { version: 1, commits: 0, warnings: [] as string[], isBroken: false }
  const commits = new Set<() => void>()
  const watcher = new CommitWatcher({
    path,
    version: () => {
      if (seen.isBroken) throw new Error('The disk cannot be read.')
      return seen.version
    },
    onCommit: () => {
      seen.commits++
      for (const resolve of commits) resolve()
    },
    onRename: () => {},
    warn: message => seen.warnings.push(message),
  })
  watchers.push(watcher)
  const commit = () => new Promise<void>(resolve => commits.add(resolve))
  return { seen, watcher, nextCommit: commit }
}

describe('a watcher of commits', () => {
  it('reads again after each commit, also if its event belongs to a later one with a slow sync', async () => {
    const path = files.next()
    writeFileSync(`${path}-wal`, '')
    const { seen, nextCommit } = watch(path)
    const first = nextCommit()
    seen.version = 2
    appendFileSync(`${path}-wal`, 'frames')
    await first
    const second = nextCommit()
    seen.version = 3
    await second
    expect(seen.commits).toBe(2)
  })

  it('polls and warns once if the folder cannot be watched', () => {
    const { seen } = watch('/no/such/folder/orders.db')
    expect(seen.warnings).toEqual([expect.stringContaining('"/no/such/folder" of the SQLite file cannot be watched')])
    for (const version of [2, 3]) {
      seen.version = version
      vi.advanceTimersByTime(50)
      expect(seen.commits).toBe(version - 1)
    }
    expect(seen.warnings).toHaveLength(1)
  })

  it('notices that its file system reports nothing, and polls faster from then on', () => {
    const { seen } = watch(files.next())
    for (const version of [2, 3, 4]) {
      expect(seen.warnings).toEqual([])
      seen.version = version
      vi.advanceTimersByTime(1000)
      expect(seen.commits).toBe(version - 1)
    }
    expect(seen.warnings).toEqual([expect.stringContaining('reports no changes')])
    seen.version = 5
    vi.advanceTimersByTime(50)
    expect(seen.commits).toBe(4)
  })

  it('continues after a failed poll', async () => {
    const path = files.next()
    writeFileSync(`${path}-wal`, '')
    const { seen, nextCommit } = watch(path)
    seen.isBroken = true
    appendFileSync(`${path}-wal`, 'frames')
    vi.advanceTimersByTime(2000)
    seen.isBroken = false
    seen.version = 2
    const commit = nextCommit()
    appendFileSync(`${path}-wal`, 'frames')
    await commit
    expect(seen.commits).toBe(1)
    rmSync(`${path}-wal`)
  })

  it('does not poll once it is closed', () => {
    const { seen, watcher } = watch('/no/such/folder/orders.db')
    watcher.close()
    seen.version = 2
    vi.advanceTimersByTime(60_000)
    expect(seen.commits).toBe(0)
  })
})
