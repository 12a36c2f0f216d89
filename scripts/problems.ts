/** Writes docs/reference/problems.md from the table of problems. A test compares them. */
import { writeFileSync } from 'node:fs'
import { PROBLEM_TYPE_PREFIX, PROBLEMS } from '../src/model/problem-kinds.ts'

/** The page. */
export function problemsPage(): string {
  const rows = Object.entries(PROBLEMS).map(
    ([code, { status, title, cure }]) => `| \`${code}\` | ${status} | ${title} | ${cure} |`,
  )
  return [
    '# Problems',
    '',
    `Every error that Waybill reports is a problem detail (RFC 9457). Its \`type\` is \`${PROBLEM_TYPE_PREFIX}\` followed by the code, and \`code\` holds the code alone. A problem that a handler throws keeps the \`type\` that the handler set.`,
    '',
    '| code | status | title | how to fix it |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

if (import.meta.main) writeFileSync(new URL('../docs/reference/problems.md', import.meta.url), problemsPage())
