import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'

/** A folder that lasts as long as the test file; gives paths in it that are each used once. */
export function temporaryFolder(): { next(): string; last(): string } {
  let folder = ''
  let count = 0
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'waybill-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))
  const path = () => join(folder, `${count}.db`)
  return {
    next: () => {
      count++
      return path()
    },
    last: path,
  }
}
