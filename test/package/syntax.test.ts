/** TypeScript that Node runs as it is: what Node 22 cannot parse is refused here, since these tests run on one Node. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../../scripts/tools.ts'

/** Of the syntax that the compiler takes, all that Node 22 lacks. */
const USING = /^\s*(?:await )?using \w+ =/m

test.each(['src', 'examples', 'templates'])('no file in %s declares a variable by `using`', folder => {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter(name =>
    /\.[mc]?ts$/.test(name),
  )
  expect(files).not.toEqual([])
  expect(files.filter(name => USING.test(readFileSync(join(root, folder, name), 'utf8')))).toEqual([])
})

test('the pattern finds it', () => {
  expect('  await using lab = await testWaybill()').toMatch(USING)
  expect('  using file = open()').toMatch(USING)
})
