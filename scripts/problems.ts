/** Writes docs/reference/problems.md from the table of problems. A test holds the page against the table. */
import { writeFileSync } from 'node:fs'
import { PROBLEM_TYPE_PREFIX, PROBLEMS } from '../src/model/problem.ts'

/** The page. */
export function problemsPage(): string {
  const rows = Object.entries(PROBLEMS).map(
    ([code, { status, title, cure }]) => `| \`${code}\` | ${status} | ${title} | ${cure} |`,
  )
  return [
    '# Problems',
    '',
    `Every error that Waybill itself reports is a problem detail (RFC 9457) whose \`type\` is \`${PROBLEM_TYPE_PREFIX}\` and the code. \`code\` holds it too. What a handler throws keeps the \`type\` that the handler gave it.`,
    '',
    '| code | status | title | cure |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

if (import.meta.main) writeFileSync(new URL('../docs/reference/problems.md', import.meta.url), problemsPage())
