/** `waybill migrate`: migrates the store to the schema of this version. */

import { hasRoles, migrationPlanFor } from '../from-url/store-from-url.ts'
import { redactUrl } from '../from-url/urls.ts'
import { type Command, JSON_OPTION, type ParsedArgs, STORE_OPTION, UsageError } from './command.ts'
import { withStore } from './open.ts'
import { print, printJson } from './output.ts'

export const migrate: Command = {
  name: 'migrate',
  summary: 'migrate the store to the schema of this version',
  options: {
    ...STORE_OPTION,
    'grant-to': {
      value: 'ROLE',
      multiple: true,
      help: 'PostgreSQL role that gets access to the tables',
    },
    plan: { help: 'print the SQL and change nothing' },
    ...JSON_OPTION,
  },
  examples: [
    'waybill migrate --plan --store postgres://owner@db/orders > migration.sql',
    'waybill migrate --store postgres://owner@db/orders --grant-to app',
  ],
  run: runMigrate,
}

async function runMigrate(given: ParsedArgs): Promise<number> {
  const url = given.storeUrl()
  const grantTo = given.texts('grant-to')
  if (grantTo.length > 0 && !hasRoles(url))
    throw new UsageError('--grant-to is for PostgreSQL: no other store has roles.')
  if (given.has('plan')) {
    const plan = await migrationPlanFor(url, grantTo)
    if (given.has('json')) return printJson({ store: redactUrl(url), sql: plan })
    return print(plan === '' ? '-- Nothing to migrate.' : plan)
  }
  const pending = await migrationPlanFor(url)
  await withStore(url, async () => {}, { existing: false, grantTo })
  if (given.has('json')) return printJson({ store: redactUrl(url), migrated: pending !== '', grantedTo: grantTo })
  print(`${redactUrl(url)} ${pending === '' ? 'already had the schema of this version' : 'was migrated'}.`)
  return grantTo.length === 0 ? 0 : print(`These roles can use its tables: ${grantTo.join(', ')}.`)
}
