/** What this machine's disk and SQLite can do at best, one write at a time. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Bench } from '../bench.ts'
import type { Scenario } from '../scenario.ts'

export const limits: Scenario = {
  name: 'limits',
  about: 'one write at a time, each synced to the disk',
  ratios: [],
  prepare: async bench => async () => ({
    'fdatasync of 4 KiB in place: 1/s': syncs(bench),
    'SQLite FULL, one row each: transactions/s': singleRows(bench),
  }),
}

/** Overwrites one page of a file of full length: nothing but the sync is left to do. */
function syncs(bench: Bench): number {
  const path = bench.file('sync')
  const page = Buffer.alloc(4096, 1)
  const file = openSync(path, 'w')
  for (let at = 0; at < 64; at++) writeSync(file, page, 0, page.length, at * page.length)
  fdatasyncSync(file)
  const rate = repeat(bench.seconds / 2, () => {
    writeSync(file, page, 0, page.length, 0)
    fdatasyncSync(file)
  })
  closeSync(file)
  rmSync(path)
  return rate
}

/** Transactions of one row of 200 bytes, as a hand-written server would make them. */
export function singleRows(bench: Bench): number {
  const path = bench.file('rows.db')
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  database.exec('CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, body TEXT) STRICT')
  const insert = database.prepare('INSERT INTO rows (body) VALUES (?)')
  const body = 'x'.repeat(200)
  const rate = repeat(bench.seconds / 2, () => void insert.run(body))
  database.close()
  return rate
}

function repeat(seconds: number, work: () => void): number {
  const began = performance.now()
  let count = 0
  while (performance.now() - began < seconds * 1000) {
    work()
    count++
  }
  return (count / (performance.now() - began)) * 1000
}
