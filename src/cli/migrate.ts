/** `waybill migrate`: brings the store to the schema of this version. */
import { type Command, type Given, STORE_OPTION } from './command.ts'
import { withStore } from './open.ts'
import { print } from './output.ts'
import { migrationPlanFor, shownUrl } from './store.ts'

export const migrate: Command = {
  name: 'migrate',
  summary: 'brings the store to the schema of this version',
  options: {
    ...STORE_OPTION,
    plan: { help: 'prints the SQL, and changes nothing' },
  },
  run: runMigrate,
}

async function runMigrate(given: Given): Promise<number> {
  const url = given.storeUrl()
  const plan = await migrationPlanFor(url)
  if (given.has('plan')) return print(plan === '' ? '-- There is nothing to migrate.' : plan)
  await withStore(url, async () => {}, { existing: false })
  return print(`${shownUrl(url)} ${plan === '' ? 'had the schema of this version already' : 'was migrated'}.`)
}
