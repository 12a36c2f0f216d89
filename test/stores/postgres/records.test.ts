/** Records are read as one text each: whatever stands in a value, and wherever a value is missing, they come back as they were. */
import { expect, it } from 'vitest'
import { postgresStore } from 'waybill/stores/postgres'
import { problem } from '../../../src/model/problem.ts'
import { acceptedOperation, type Store } from '../../../src/stores/store.ts'
import { numberedId } from '../../../src/testing/store-conformance/context.ts'
import { testDatabase, VERSIONS } from '../../support/postgres.ts'
import { submissionOf } from '../../support/submission.ts'

/** Texts with all that means something where a row is written as text. */
const TEXTS = [
  '',
  ' ',
  ',',
  '"',
  '""',
  '","',
  '\\',
  '\\"',
  '\\\\""',
  '(',
  ')',
  '(a,"b")',
  'NULL',
  'a\nb\tc',
  'ü €𝄞',
  't',
]

let numbers = 0

it.each(VERSIONS.map(version => [version, testDatabase(version)] as const))('on PostgreSQL %i', async (_, database) => {
  const store: Store = postgresStore(database.pool(), { schema: database.nextSchema(), notifications: false })
  await store.open()
  for (const text of TEXTS) {
    const id = numberedId(++numbers)
    const tags = { one: text, two: '' }
    const webhookUrl = `https://example.org/${text}`
    const given = submissionOf(id, { owner: text, idempotencyKey: text, fingerprint: text, tags, webhookUrl })
    const accepted = acceptedOperation(await store.accept(given))
    expect(accepted).toMatchObject({ owner: text, idempotencyKey: text, fingerprint: text, tags, webhookUrl })
    expect(await store.read(id)).toEqual(accepted)
    const [claim] = await store.claim({ from: { id }, holder: text, leaseMs: 60_000, execution: text, engine: text })
    expect(claim?.operation).toMatchObject({ id, holder: text, execution: text, engine: text })
    const ended = problem('operation-failed', text, { extensions: { text } })
    const failed = await store.change(id, {
      kind: 'finish',
      attempt: 1,
      outcome: { kind: 'failed', problem: ended },
    })
    expect(failed).toMatchObject({ status: 'failed', error: ended })
    expect(await store.read(id)).toEqual(failed)
  }
  // Submissions without a key, of which one statement writes many.
  for (const texts of [TEXTS, TEXTS.filter(text => !text.includes('\n'))]) {
    const given = texts.map(text =>
      submissionOf(numberedId(++numbers), { owner: text, input: text, traceparent: text }),
    )
    const accepted = await Promise.all(given.map(async one => acceptedOperation(await store.accept(one))))
    for (const [index, text] of texts.entries()) {
      const { id = '', owner, traceparent } = accepted[index] ?? {}
      expect({ owner, traceparent }).toEqual({ owner: text, traceparent: text })
      expect(await store.read(id)).toEqual(accepted[index])
      expect(await store.readPayload(id, 'input')).toBe(text)
    }
  }
  await store.close()
})
