/** `waybill check`: drives an asynchronous API, and grades it by the standards. */

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { styleText } from 'node:util'
import { plain } from '../util/plain-text.ts'
import { drive, type Evidence, type Target } from './check/drive.ts'
import { describeExchange } from './check/exchange.ts'
import type { Grade, Graded } from './check/rule.ts'
import { gradeAll } from './check/rules.ts'
import { type Command, JSON_OPTION, type ParsedArgs, UsageError } from './command.ts'
import { headersOf } from './desk.ts'
import { print, printJson, span } from './output.ts'

const TIMEOUT_MS = 120_000
const ANSWER_TIMEOUT_MS = 120_000

export const check: Command = {
  name: 'check',
  operands: 'URL',
  count: { min: 1, max: 1 },
  summary: 'test any asynchronous API against the standards, and grade each rule',
  options: {
    data: {
      value: 'JSON',
      help: 'body that the API accepts, or @FILE (default: the example in OpenAPI, or {})',
    },
    other: { value: 'JSON', help: 'another accepted body, or @FILE (default: the same with one value changed)' },
    invalid: { value: 'JSON', help: 'body that the API must reject, or @FILE; a body that is not JSON is always sent' },
    fail: { value: 'JSON', help: 'body whose operation fails, or @FILE' },
    header: { value: 'NAME:VALUE', multiple: true, help: 'header of every request, such as "Authorization: Bearer …"' },
    method: { value: 'METHOD', help: 'method that starts an operation (default POST)' },
    via: {
      value: 'HEADER',
      help: 'header with the status URL, if several headers have one, such as operation-location',
    },
    status: { value: 'URL', help: 'status URL, with members of the body in braces, such as "/v1/{name}"' },
    openapi: { value: 'URL', help: 'URL of the OpenAPI document (default: the usual paths)' },
    webhook: {
      value: 'HEADER',
      help: 'header for the webhook URL, such as webhook-url: check receives a webhook itself',
    },
    timeout: { value: 'TIME', help: 'how long to wait for the end of an operation (default 2m)' },
    'answer-timeout': { value: 'TIME', help: 'how long to wait for the answer to one request (default 2m)' },
    verbose: { help: 'also print what was observed for rules that pass' },
    ...JSON_OPTION,
  },
  examples: [
    'waybill check http://127.0.0.1:3000/orders',
    `waybill check https://api.example.com/jobs --data '{"name":"Ada"}' --header "Authorization: Bearer $TOKEN"`,
    `waybill check https://api.example.com/v1/exports --data @export.json --status "/v1/{name}"`,
  ],
  run: runCheck,
}

async function runCheck(given: ParsedArgs): Promise<number> {
  const target = targetOf(given)
  const clock = { now: () => performance.now(), sleep }
  const evidence = await drive(target, clock, message => process.stderr.write(`${message}\n`))
  const graded = gradeAll(evidence)
  if (given.has('json')) printJson({ url: target.url, rules: graded })
  else for (const line of linesOf(evidence, graded, given.has('verbose'))) print(line)
  return graded.some(({ grade }) => grade === 'fail') ? 1 : 0
}

function targetOf(given: ParsedArgs): Target {
  const [text = ''] = given.operands
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`The API must be a URL such as http://127.0.0.1:3000/orders, not "${text}".`)
  }
  const body = (name: string) => readBody(given.text(name))
  return {
    url: url.href,
    method: given.text('method')?.toUpperCase() ?? 'POST',
    headers: headersOf(given),
    data: body('data'),
    other: body('other'),
    invalid: body('invalid'),
    fail: body('fail'),
    via: given.text('via')?.toLowerCase(),
    template: given.text('status'),
    openapi: given.text('openapi'),
    webhook: given.text('webhook')?.toLowerCase(),
    timeoutMs: given.duration('timeout') ?? TIMEOUT_MS,
    answerTimeoutMs: given.duration('answer-timeout') ?? ANSWER_TIMEOUT_MS,
  }
}

function readBody(text: string | undefined): string | undefined {
  return text?.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text
}

const MARKS: Readonly<Record<Grade, string>> = {
  pass: styleText('green', 'pass'),
  warn: styleText('yellow', 'warn'),
  fail: styleText('red', 'FAIL'),
  skip: styleText('dim', 'skip'),
}

function linesOf(evidence: Evidence, graded: readonly Graded[], isVerbose: boolean): string[] {
  const { main } = evidence
  const took = main.polls.reduce((sum, { ms }) => sum + ms, 0)
  const counts = (['pass', 'warn', 'fail', 'skip'] as const).map(
    grade => `${graded.filter(it => it.grade === grade).length} ${grade}`,
  )
  return [
    `${describeExchange(main.accepted)}; ${main.pointer.by} leads to ${main.pointer.url}; ${main.polls.length} ${main.polls.length === 1 ? 'poll' : 'polls'}; ${main.state}`,
    '',
    ...graded.flatMap(it => ruleLines(it, isVerbose)),
    '',
    `${counts.join(', ')}; polls answered in ${span(took / Math.max(1, main.polls.length))} on average`,
  ]
}

function ruleLines({ number, title, source, grade, findings }: Graded, isVerbose: boolean): string[] {
  const shown = findings.filter(finding => isVerbose || finding.grade !== 'pass')
  return [
    `${String(number).padStart(2)}  ${MARKS[grade]}  ${title}`,
    ...shown.map(finding => `          ${finding.grade === 'pass' ? '' : `${finding.grade}: `}${plain(finding.says)}`),
    styleText('dim', `          ${source}`),
  ]
}
