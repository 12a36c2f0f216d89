/** Checks tests against docs/reference/http.md: each row and each point of it has its test, named after it. */
import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { type TestContext, test } from './waybill.ts'

const TEXT = readFileSync(new URL('../../docs/reference/http.md', import.meta.url), 'utf8')

/** The sections in their order, by their headings. */
const SECTIONS = new Map(
  TEXT.split(/^## /m)
    .slice(1)
    .map(section => {
      const [heading = '', ...lines] = section.split('\n')
      return [heading, lines.join('\n')] as const
    }),
)

export const HEADINGS: readonly string[] = [...SECTIONS.keys()]

/** What a section says, without the formatting of code. */
export function textOf(heading: string): string {
  const text = SECTIONS.get(heading)
  if (text === undefined) throw new Error(`docs/reference/http.md has no section "${heading}".`)
  return text
}

/** The rows of its tables (without their heads), its points and its paragraphs, each as one line of text. */
export function statementsOf(heading: string): string[] {
  const lines = textOf(heading).split('\n')
  return lines.filter((line, index) => {
    const next = lines[index + 1] ?? ''
    return line.trim() !== '' && !/^\|[-| ]+\|$/.test(line) && !/^\|[-| ]+\|$/.test(next)
  })
}

export type Check = (lab: TestContext) => Promise<void>

/**
 * Registers a test for each statement of a section, and one that fails when a statement has no check, or a check no statement.
 *
 * @param checks by what their statement opens with
 */
export function followsReference(heading: string, checks: Readonly<Record<string, Check>>): void {
  const statements = statementsOf(heading)
  const opening = (statement: string) => Object.keys(checks).find(key => statement.startsWith(key))
  describe(heading, () => {
    for (const statement of statements) {
      const check = checks[opening(statement) ?? '']
      if (check !== undefined) test(statement, ({ lab }) => check(lab))
    }

    test('every statement has one test', () => {
      expect(statements.filter(statement => opening(statement) === undefined)).toEqual([])
      expect(Object.keys(checks).filter(key => statements.filter(one => opening(one) === key).length !== 1)).toEqual([])
    })
  })
}
