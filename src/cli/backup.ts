/**
 * `waybill backup` and `waybill restore`: make a copy of a SQLite file while it is in use, and put such a copy back.
 */

import { sqlitePath } from '../from-url/store-from-url.ts'
import { backUp, restore as putBack } from '../stores/sqlite/file-backup.ts'
import { type Command, JSON_OPTION, type ParsedArgs, STORE_OPTION, UsageError } from './command.ts'
import { print, printJson } from './output.ts'

export const backup: Command = {
  name: 'backup',
  summary: 'copy a SQLite file while it is in use',
  options: { ...STORE_OPTION, to: { value: 'FILE', help: 'path of the copy, which must not exist' }, ...JSON_OPTION },
  examples: ['waybill backup --store sqlite:./orders.db --to ./orders-backup.db'],
  run: async given => {
    const [path, target] = [fileOf(given), fileNamed(given, 'to')]
    await backUp(path, target)
    if (given.has('json')) return printJson({ from: path, to: target })
    return print(`Copied ${path} to ${target}. If results are in a blob store, copy the blob store now.`)
  },
}

export const restore: Command = {
  name: 'restore',
  summary: 'replace a SQLite file with a backup; stop every process that uses the file first',
  options: { ...STORE_OPTION, from: { value: 'FILE', help: 'a backup that waybill backup made' }, ...JSON_OPTION },
  examples: ['waybill restore --store sqlite:./orders.db --from ./orders-backup.db'],
  run: async given => {
    const [path, copy] = [fileOf(given), fileNamed(given, 'from')]
    const before = await putBack(copy, path)
    if (given.has('json')) return printJson({ from: copy, to: path, before: before ?? null })
    if (before !== undefined) print(`The previous file is now ${before}.`)
    return print(`Restored ${path} from ${copy}. Operations that finished after the backup run again.`)
  },
}

function fileOf(given: ParsedArgs): string {
  const url = given.storeUrl()
  if (url.startsWith('sqlite:')) return sqlitePath(url)
  throw new UsageError(
    'It is for SQLite files, such as --store sqlite:./orders.db; other databases have tools of their own.',
  )
}

function fileNamed(given: ParsedArgs, name: string): string {
  const file = given.text(name)
  if (file) return file
  throw new UsageError(`The file is missing: use --${name} ./orders-backup.db.`)
}
