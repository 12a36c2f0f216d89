/** TypeScript that Node runs as it is: what Node 22 cannot parse is refused here, since these tests run on one Node. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../../scripts/tools.ts'

/** Of the syntax that the compiler takes, all that Node 22 lacks. */
const USING = /^\s*(?:await )?using \w+ =/m

/** Once V8 has optimized its caller, Node 22 takes a URL for wrong that has a letter of Latin-1, such as `ü`. */
const CAN_PARSE = /\bURL\.canParse\(/

function filesOf(folder: string): string[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
  return files.filter(name => /\.[mc]?ts$/.test(name))
}

test.each(['src', 'examples', 'templates'])('no file in %s declares a variable by `using`', folder => {
  const files = filesOf(folder)
  expect(files).not.toEqual([])
  expect(files.filter(name => USING.test(readFileSync(join(root, folder, name), 'utf8')))).toEqual([])
})

test.each(['src', 'examples', 'templates'])('no file in %s calls URL.canParse, since URL.parse is correct', folder => {
  expect(filesOf(folder).filter(name => CAN_PARSE.test(readFileSync(join(root, folder, name), 'utf8')))).toEqual([])
})

test('the patterns find what they must', () => {
  expect('if (URL.canParse(text)) return').toMatch(CAN_PARSE)
  expect('  await using lab = await testWaybill()').toMatch(USING)
  expect('  using file = open()').toMatch(USING)
})
