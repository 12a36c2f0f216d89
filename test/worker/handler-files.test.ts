import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { fileUrl } from '../../src/worker/handlers.ts'
import { temporaryFolder } from '../support/app.ts'

/** What a handler file resolves to in a folder with these files. */
function resolved(file: string, ...there: string[]): string {
  const folder = temporaryFolder()
  for (const name of there) writeFileSync(join(folder, name), '')
  const url = new URL(file, pathToFileURL(`${folder}/`))
  const found = fileUrl(url)
  expect(fileUrl(join(folder, file))).toBe(found)
  return found.slice(pathToFileURL(`${folder}/`).href.length)
}

test.each([
  ['greet.ts', ['greet.js'], 'greet.js'],
  ['greet.ts', ['greet.mjs'], 'greet.mjs'],
  ['greet.ts', ['greet.mjs', 'greet.js'], 'greet.js'],
  ['greet.mts', ['greet.js', 'greet.mjs'], 'greet.mjs'],
  ['greet.cts', ['greet.cjs'], 'greet.cjs'],
  ['greet.ts', ['greet.ts', 'greet.js'], 'greet.ts'],
  ['greet.ts', [], 'greet.ts'],
  ['greet.js', ['greet.ts'], 'greet.js'],
])('%s among %j is %s', (file, there, found) => {
  expect(resolved(file, ...there)).toBe(found)
})
