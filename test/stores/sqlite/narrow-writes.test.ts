/** What is written often writes little: seen by triggers in the file. */
import { DatabaseSync } from 'node:sqlite'
import { expect } from 'vitest'
import { submissionOf } from '../../support/submission.ts'
import { test } from '../../support/waybill.ts'

const BY = { holder: 'host/1/a', leaseMs: 30_000, execution: null }
const IDS = Array.from({ length: 50 }, (_, n) => `01941f29-7c00-7000-8000-${String(n).padStart(12, '0')}`)

/** Counts writes that name a column of an index, beside the end of the lease, and writes of durations. */
function countWrites(file: DatabaseSync): () => { indexed: number; durations: number } {
  const columns = file
    .prepare(`SELECT DISTINCT i.name FROM pragma_index_list('operations') l, pragma_index_info(l.name) i
      WHERE i.name IS NOT NULL AND i.name <> 'lease_until'`)
    .all()
    .map(({ name }) => String(name))
  file.exec(`CREATE TABLE writes (kind TEXT);
    CREATE TRIGGER indexed AFTER UPDATE OF ${columns.join(', ')} ON operations
      BEGIN INSERT INTO writes VALUES ('indexed'); END;
    CREATE TRIGGER durations AFTER INSERT ON durations BEGIN INSERT INTO writes VALUES ('durations'); END`)
  const count = file.prepare('SELECT count(*) AS count FROM writes WHERE kind = ?')
  const of = (kind: string) => Number(count.get(kind)?.count)
  return () => ({ indexed: of('indexed'), durations: of('durations') })
}

test('progress and renewals touch no index, and the durations of a batch are written once', async ({ lab }) => {
  const path = lab.file()
  const store = await lab.store(path)
  const file = new DatabaseSync(path)
  lab.onEnd(() => file.close())
  await Promise.all(IDS.map(id => store.accept(submissionOf(id))))
  const claims = await store.claim({ ...BY, from: { types: [{ type: 'orders', limit: 50 }], limit: 50 } })
  expect(claims.length).toBe(IDS.length)
  const writes = countWrites(file)
  for (const id of IDS) await store.change(id, { kind: 'progress', attempt: 1, progress: { fraction: 0.5 } })
  const leases = IDS.map(id => ({ id, attempt: 1 }))
  for (const { kind } of await store.renew(leases, 60_000)) expect(kind).toBe('held')
  expect(writes()).toEqual({ indexed: 0, durations: 0 })
  const outcome = { kind: 'completed', output: '1' } as const
  await Promise.all(IDS.map(id => store.change(id, { kind: 'finish', attempt: 1, outcome })))
  expect(writes().indexed).toBe(IDS.length)
  expect(writes().durations).toBeGreaterThan(0)
  expect(writes().durations).toBeLessThan(5)
  expect((await store.queueStats('orders')).durations.length).toBe(IDS.length)
})
