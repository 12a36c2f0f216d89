/** `waybill doctor`: finds problems, and what will soon be a problem. */

import { styleText } from 'node:util'
import { redactUrl } from '../from-url/urls.ts'
import { plain } from '../util/plain-text.ts'
import { packageVersion } from '../util/version.ts'
import { BLOBS_OPTION, type Command, JSON_OPTION, type ParsedArgs, STORE_OPTION, UsageError } from './command.ts'
import { AZURE_OPTIONS, examineAzure } from './doctor/azure.ts'
import { type Finding, Findings, type Grade } from './doctor/finding.ts'
import { examineKubernetes, KUBERNETES_OPTIONS } from './doctor/kubernetes.ts'
import { examinePostgres } from './doctor/postgres.ts'
import { examineSqlite } from './doctor/sqlite.ts'
import { namedBlobs, withStore } from './open.ts'
import { columns, messageOf, print, printJson } from './output.ts'

export const doctor: Command = {
  name: 'doctor',
  operands: '[azure|kubernetes]',
  count: { max: 1 },
  summary: 'find problems, and what will soon be one: versions, the store, its disk or its server',
  options: { ...STORE_OPTION, ...BLOBS_OPTION, ...AZURE_OPTIONS, ...KUBERNETES_OPTIONS, ...JSON_OPTION },
  notes: ['With azure or kubernetes: would the first execution start, as this identity? Nothing is started.'],
  examples: [
    'waybill doctor --store sqlite:./orders.db',
    'waybill doctor --store postgres://worker@db/orders --json',
    'waybill doctor azure --resource-group orders --job orders-job',
    'waybill doctor kubernetes --namespace orders',
  ],
  run: runDoctor,
}

const ENGINES: ReadonlyMap<string, (given: ParsedArgs, findings: Findings) => Promise<void>> = new Map([
  ['azure', examineAzure],
  ['kubernetes', examineKubernetes],
])

async function runDoctor(given: ParsedArgs): Promise<number> {
  const findings = new Findings()
  examineVersions(findings)
  const [engine] = given.operands
  const examineEngine = engine === undefined ? undefined : ENGINES.get(engine)
  if (engine !== undefined && examineEngine === undefined) {
    throw new UsageError(`Cannot look at "${engine}": use ${[...ENGINES.keys()].join(' or ')}.`)
  }
  await examineEngine?.(given, findings)
  const hasStore = given.text('store') !== undefined || process.env.WAYBILL_STORE !== undefined
  if (examineEngine === undefined || hasStore) await examineStore(given, findings)
  if (given.has('json')) printJson(findings.all)
  else for (const line of linesOf(findings.all)) print(line)
  return findings.all.some(({ grade }) => grade === 'fail') ? 1 : 0
}

function examineVersions(findings: Findings): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isSupported = major > 22 || (major === 22 && minor >= 13)
  if (!isSupported) findings.fail('node', `${process.version}: use 22.13 or newer`)
  else if (process.features.typescript === false) {
    findings.warn('node', `${process.version} does not run .ts files as they are: 22.18 or newer does`)
  } else findings.ok('node', process.version)
  findings.ok('waybill', packageVersion())
}

async function examineStore(given: ParsedArgs, findings: Findings): Promise<void> {
  const url = given.storeUrl()
  const blobs = await namedBlobs(given)
  try {
    const open = async (store: { check?(): Promise<void> }) => {
      await store.check?.()
    }
    await withStore(url, open, blobs)
    findings.ok('store', `${redactUrl(url)} opens, and takes writes`)
  } catch (error) {
    if (error instanceof UsageError) throw error
    findings.fail('store', messageOf(error))
  }
  if (url.startsWith('sqlite:')) await examineSqlite(url.slice('sqlite:'.length), findings)
  if (/^postgres(ql)?:/.test(url)) await findings.look('server', () => examinePostgres(url, findings))
}

const MARKS: Readonly<Record<Grade, string>> = {
  ok: styleText('green', 'ok  '),
  warn: styleText('yellow', 'warn'),
  fail: styleText('red', 'FAIL'),
}

function linesOf(findings: readonly Finding[]): string[] {
  const rows = columns(findings.map(({ name, says }) => [name, `${plain(says)}.`]))
  return rows.map((row, at) => `${MARKS[findings[at]?.grade ?? 'ok']}  ${row}`)
}
