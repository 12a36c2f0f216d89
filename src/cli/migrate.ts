/** `waybill migrate`: brings the store to the schema of this version. */

import { hasRoles, migrationPlanFor } from '../from-url/store-from-url.ts'
import { redactUrl } from '../from-url/urls.ts'
import { type Command, JSON_OPTION, type ParsedArgs, STORE_OPTION, UsageError } from './command.ts'
import { withStore } from './open.ts'
import { print, printJson } from './output.ts'

export const migrate: Command = {
  name: 'migrate',
  summary: 'brings the store to the schema of this version',
  options: {
    ...STORE_OPTION,
    'grant-to': {
      value: 'ROLE',
      multiple: true,
      help: 'a role of PostgreSQL that may work with the tables; several times for several',
    },
    plan: { help: 'prints the SQL, and changes nothing' },
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
    return print(plan === '' ? '-- There is nothing to migrate.' : plan)
  }
  const pending = await migrationPlanFor(url)
  await withStore(url, async () => {}, { existing: false, grantTo })
  if (given.has('json')) return printJson({ store: redactUrl(url), migrated: pending !== '', grantedTo: grantTo })
  print(`${redactUrl(url)} ${pending === '' ? 'had the schema of this version already' : 'was migrated'}.`)
  return grantTo.length === 0 ? 0 : print(`Its tables may be used by ${grantTo.join(', ')}.`)
}
