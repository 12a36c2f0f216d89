/** `waybill audit`: what operators did. */

import type { AuditEntry } from '../operator/views.ts'
import { plain } from '../util/plain-text.ts'
import { type Command, JSON_OPTION, type ParsedArgs } from './command.ts'
import { DESK_OPTIONS, withDesk } from './desk.ts'
import { columns, print, printJson, short, time } from './output.ts'

/** The most that one page holds. */
const MAX_PAGE = 500

export const audit: Command = {
  name: 'audit',
  summary: 'list what operators did, newest first: who, when, what, and to how many operations',
  options: {
    ...DESK_OPTIONS,
    limit: { value: 'N', help: `how many, 1 to ${MAX_PAGE} (default 50)` },
    after: { value: 'PLACE', help: 'continue a list: the place that the page before it printed' },
    ...JSON_OPTION,
  },
  examples: [
    'waybill audit --store sqlite:./orders.db',
    'waybill audit --limit 500 --json --url http://127.0.0.1:3000',
  ],
  run: runAudit,
}

async function runAudit(given: ParsedArgs): Promise<number> {
  const page = { limit: given.whole('limit', { min: 1, max: MAX_PAGE }) ?? 50, after: given.text('after') }
  const { items, next } = await withDesk(given, desk => desk.audit(page))
  if (next !== undefined) process.stderr.write(`There may be more: repeat the command with --after ${next}.\n`)
  if (given.has('json')) for (const entry of items) printJson(entry)
  else for (const line of columns([HEADINGS, ...items.map(row)])) print(line)
  return 0
}

const HEADINGS = ['WHEN', 'WHO', 'WHAT', 'TARGET', 'COUNT', 'DETAIL']

function row({ at, actor, action, target, count, detail }: AuditEntry): string[] {
  return [time(at), plain(actor), action, plain(target), String(count), short(detail ?? '', 100)]
}
