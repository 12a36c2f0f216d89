/** The pages of docs/extend show the adapters that the tests of this room run. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root as ROOT } from '../../scripts/tools.ts'

const PAGES = join(ROOT, 'docs/extend')
const FIXTURES = join(ROOT, 'test/fixtures/adapters')

test('each example is on its page', () => {
  const examples = readdirSync(FIXTURES)
  expect(readdirSync(PAGES)).toEqual(examples.map(name => name.replace('.ts', '.md')))
  for (const name of examples) {
    const page = readFileSync(join(PAGES, name.replace('.ts', '.md')), 'utf8')
    expect(page).toContain(`\`\`\`ts\n${readFileSync(join(FIXTURES, name), 'utf8')}\`\`\``)
  }
})

test('each example imports only what the package exports', () => {
  for (const name of readdirSync(FIXTURES)) {
    const code = readFileSync(join(FIXTURES, name), 'utf8')
    const imports = [...code.matchAll(/from '([^']+)'/g)].map(([, specifier]) => specifier)
    expect(imports.filter(one => !/^node:|^waybill(?:\/(?:adapters|server|testing))?$/.test(`${one}`))).toEqual([])
  }
})
