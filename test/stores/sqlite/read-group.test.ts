import { DatabaseSync } from 'node:sqlite'
import { describe, expect } from 'vitest'
import type { Database, Statement } from '../../../src/stores/sqlite/database.ts'
import { ReadGroup } from '../../../src/stores/sqlite/read-group.ts'
import { test } from '../../support/waybill.ts'

/** A connection that notes what it runs, and refuses some of it. */
function recording(database: DatabaseSync, refused: ReadonlySet<string> = new Set()) {
  const ran: string[] = []
  const prepare = (sql: string): Statement => {
    const statement = database.prepare(sql) as Statement
    return {
      get: (...values) => statement.get(...values),
      all: (...values) => statement.all(...values),
      run: (...values) => {
        ran.push(sql)
        if (refused.has(sql)) throw new Error(`${sql} is refused.`)
        return statement.run(...values)
      },
    }
  }
  const recorded: Database = { exec: sql => database.exec(sql), prepare, close: () => database.close() }
  return { recorded, ran }
}

describe('reads of one turn of the event loop', () => {
  test('share a transaction, and one alone has none', async ({ lab }) => {
    const database = new DatabaseSync(lab.file())
    lab.onEnd(async () => database.close())
    const { recorded, ran } = recording(database)
    const group = new ReadGroup(recorded)
    expect(await Promise.all([1, 2, 3].map(n => group.add(() => n)))).toEqual([1, 2, 3])
    expect(ran.splice(0)).toEqual(['BEGIN', 'COMMIT'])
    expect(await group.add(() => 4)).toBe(4)
    expect(ran).toEqual([])
  })

  test('see what another connection has committed before the call', async ({ lab }) => {
    const path = lab.file()
    const [reader, writer] = [new DatabaseSync(path), new DatabaseSync(path)]
    lab.onEnd(async () => [reader, writer].forEach(it => void it.close()))
    writer.exec('PRAGMA journal_mode = WAL; CREATE TABLE counts (n INTEGER); INSERT INTO counts VALUES (0)')
    const select = reader.prepare('SELECT n FROM counts')
    const group = new ReadGroup(reader as unknown as Database)
    for (let n = 1; n <= 3; n++) {
      const before = group.add(() => select.get())
      writer.exec(`UPDATE counts SET n = ${n}`)
      expect(await Promise.all([group.add(() => select.get()), before])).toEqual([{ n }, { n }])
    }
  })

  test('fail one by one', async ({ lab }) => {
    const database = new DatabaseSync(lab.file())
    lab.onEnd(async () => database.close())
    const group = new ReadGroup(database as unknown as Database)
    const failing = () => {
      throw new Error('damaged')
    }
    const settled = await Promise.allSettled([group.add(() => 1), group.add(failing), group.add(() => 3)])
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  test('leave no transaction open', async ({ lab }) => {
    const database = new DatabaseSync(lab.file())
    lab.onEnd(async () => database.close())
    const { recorded, ran } = recording(database, new Set(['COMMIT']))
    const group = new ReadGroup(recorded)
    expect(await Promise.all([group.add(() => 1), group.add(() => 2)])).toEqual([1, 2])
    expect(ran).toEqual(['BEGIN', 'COMMIT', 'ROLLBACK'])
    expect(database.isTransaction).toBe(false)
  })

  test('are made without a transaction if none can begin', async ({ lab }) => {
    const database = new DatabaseSync(lab.file())
    lab.onEnd(async () => database.close())
    const { recorded, ran } = recording(database, new Set(['BEGIN']))
    const group = new ReadGroup(recorded)
    expect(await Promise.all([group.add(() => 1), group.add(() => 2)])).toEqual([1, 2])
    expect(ran).toEqual(['BEGIN'])
  })
})
