/** The rule about names of files: one name stands for one thing. */
import { expect, test } from 'vitest'
import { findHomonyms } from '../../scripts/rules.ts'

test('two files for different things may not have the same name', () => {
  const files = ['http/events.ts', 'service/events.ts', 'service/operations.ts']
  expect(findHomonyms(files)).toEqual([['http/events.ts', 'service/events.ts']])
  expect(findHomonyms(['stores/sqlite/pool.ts', 'launchers/kubernetes/pool.ts'])).toHaveLength(1)
})

test.each([
  ['the faces of rooms', ['webhooks/index.ts', 'openapi/index.ts']],
  ['one part of several implementations', ['stores/sqlite/rows.ts', 'stores/postgres/rows.ts']],
  ['what rooms have for one system', ['blobs/azure/azure.ts', 'http/dialects/azure.ts', 'cli/doctor/azure.ts']],
])('%s may have the same name', (_, files) => {
  expect(findHomonyms(files)).toEqual([])
})
