/** Rules about what an API offers around its operations: retention, caching, access, browsers, webhooks, a description. */
import { fieldsOf } from '../../util/fields.ts'
import { dereference } from './api-description.ts'
import { type Evidence, PAGE } from './drive.ts'
import { describeExchange, type Exchange } from './exchange.ts'
import { memberAt, retryAfterOf, titleCase } from './reading.ts'
import type { Delivered } from './receiver.ts'
import { type Finding, fail, pass, type Rule, skip, warn } from './rule.ts'

export const offerRules: readonly Rule[] = [
  {
    number: 12,
    title: 'Results are kept for a day, and the answer says until when',
    source: 'Azure REST guidelines, long-running operations; RFC 9111, 5.3; RFC 8594, 3',
    grade: gradeRetention,
  },
  {
    number: 13,
    title: 'Polls cost little: 304 while nothing changes, 429 with Retry-After for clients that poll too often',
    source: 'RFC 9110, 13.1.2 and 15.4.5; RFC 6585, 4; FHIR bulk data, status request',
    grade: gradePolls,
  },
  {
    number: 14,
    title: 'Status and result are for the caller alone, without a lasting key in the URL',
    source: 'Azure Architecture Center, valet key; RFC 9110, 15.5.2',
    grade: gradeAccess,
  },
  {
    number: 15,
    title: 'Pages of other origins can read the headers',
    source: 'Fetch standard, Access-Control-Expose-Headers',
    grade: gradeCors,
  },
  {
    number: 16,
    title: 'Webhooks are signed, with an id that stays the same',
    source: 'Standard Webhooks 1.0',
    grade: gradeWebhooks,
  },
  {
    number: 17,
    title: 'An OpenAPI document describes it all',
    source: 'OpenAPI 3.1, 4.8.10 and 4.8.17 to 4.8.21',
    grade: gradeDescription,
  },
]

const DAY_MS = 86_400_000
const EXPIRIES = ['expiresAt', 'expirationDateTime', 'expires', 'expireTime', 'metadata.expireTime', 'expires_at']

function gradeRetention({ main: { polls, result } }: Evidence): Finding[] {
  const answers = [polls.at(-1), result].filter(it => it !== undefined)
  const times = answers.flatMap(({ headers, json }) => [
    headers.get('expires'),
    headers.get('sunset'),
    ...EXPIRIES.map(path => memberAt(json, path)),
  ])
  const until = times.map(time => (typeof time === 'string' ? Date.parse(time) : Number.NaN)).filter(at => at > 0)
  if (until.length === 0)
    return [warn('the API does not show how long the result is kept: send Expires, or add the time to the status')]
  const ms = Math.max(...until) - Date.now()
  const hours = Math.round(ms / 3_600_000)
  // The time left of a retention of exactly one day, some time after the end.
  if (ms >= DAY_MS - 600_000) return [pass(`kept for ${hours} hours`)]
  return [warn(`kept for ${hours} hours, which is less than a day`)]
}

function gradePolls({ main, unchanged }: Evidence): Finding[] {
  const findings: Finding[] = []
  const limited = main.polls.find(({ status }) => status === 429)
  if (limited !== undefined) {
    const says = retryAfterOf(limited) !== undefined
    findings.push(says ? pass('429 with Retry-After') : fail('429 without Retry-After'))
  }
  if (unchanged?.status === 304) return [...findings, pass('an unchanged status: 304')]
  if (unchanged !== undefined)
    return [...findings, warn(`an unchanged status is sent again, though its ETag is the same: ${unchanged.status}`)]
  if (main.polls.length < 2) return [...findings, skip('the operation had ended at the first poll')]
  if (main.polls.some(({ headers }) => headers.has('etag')))
    return [...findings, skip('the status had changed each time it was requested again')]
  return [...findings, warn('the status has no ETag, so each poll transfers it whole')]
}

/** Query parameters with a key that is valid for more than this operation, such as those of function apps. */
const KEYS = /^(code|key|api-?key|access_?token|token|password|secret)$/i

function gradeAccess({ main, result, anonymous, hasCredentials }: Evidence & { result?: Exchange }): Finding[] {
  const urls = [main.pointer.url, main.result?.url, result?.url].filter(it => it !== undefined)
  const keys = urls.flatMap(url => [...new URL(url).searchParams.keys()].filter(name => KEYS.test(name)))
  const findings = keys.map(name => fail(`the URL has a key in its parameter "${name}", which logs and referrers keep`))
  if (!hasCredentials || anonymous === undefined) {
    return [...findings, skip('pass credentials with --header, such as --header "Authorization: Bearer …"')]
  }
  const answers = [anonymous.status, anonymous.result].filter(it => it !== undefined)
  return [...findings, ...answers.map(answer => gradeAnonymous(answer))]
}

function gradeAnonymous(answer: Exchange): Finding {
  const seen = `without credentials: ${describeExchange(answer)}`
  if ([401, 403, 404].includes(answer.status)) return pass(seen)
  if (answer.status >= 400) return warn(`${seen} instead of 401, 403 or 404`)
  const isSigned = ['sig', 'signature', 'X-Amz-Signature'].some(name => new URL(answer.url).searchParams.has(name))
  return isSigned ? pass(`${seen}, by the signature in its URL`) : fail(`${seen}: anyone who has the URL can read it`)
}

/** The response headers that clients of asynchronous APIs read. */
const READ_HEADERS = [
  ...['location', 'retry-after', 'operation-location', 'preference-applied', 'etag', 'content-location'],
  ...['idempotency-replayed', 'x-progress', 'link'],
]

function gradeCors({ crossOrigin: { accepted, status } }: Evidence): Finding[] {
  const answers = [accepted, status].filter(({ headers }) => headers.has('access-control-allow-origin'))
  if (answers.length === 0) return [skip(`pages of other origins are not allowed (Origin: ${PAGE})`)]
  const hidden = new Set(answers.flatMap(hiddenHeaders))
  if (hidden.size === 0) return [pass('Access-Control-Expose-Headers names every header that clients read')]
  return [fail(`Access-Control-Expose-Headers does not name ${[...hidden].map(titleCase).join(', ')}`)]
}

function hiddenHeaders({ headers }: Exchange): string[] {
  const exposed = (headers.get('access-control-expose-headers') ?? '').toLowerCase().split(/\s*,\s*/)
  if (exposed.includes('*')) return []
  return READ_HEADERS.filter(name => headers.has(name) && !exposed.includes(name))
}

function gradeWebhooks({ delivered, description }: Evidence): Finding[] {
  if (delivered !== undefined) return gradeDelivered(delivered)
  if (description === undefined) return [skip('no OpenAPI document describes webhooks')]
  const text = JSON.stringify({
    callbacks: fieldsOf(description.operation).callbacks,
    webhooks: description.document.webhooks,
  })
  const described = dereferenceAll(text, description.document)
  if (text === '{}') return [skip('the OpenAPI document describes no webhooks')]
  const missing = WEBHOOK_HEADERS.filter(name => !described.includes(`"${name}"`))
  if (missing.length === 0) return [pass('the OpenAPI document describes webhooks with the headers of the standard')]
  return [warn(`the webhooks of the OpenAPI document do not have ${missing.join(', ')}`)]
}

const WEBHOOK_HEADERS = ['webhook-id', 'webhook-timestamp', 'webhook-signature']

function gradeDelivered([first, second]: readonly Delivered[]): Finding[] {
  if (first === undefined) return [fail('no webhook arrived, or the request with its URL was refused')]
  const missing = WEBHOOK_HEADERS.filter(name => first.headers[name] === undefined)
  if (missing.length > 0) return [fail(`a webhook arrived without ${missing.join(', ')}`)]
  const findings = [pass('a webhook arrived with the headers of the standard')]
  const signature = String(first.headers['webhook-signature'])
  if (!/(?:^| )v1a?,[A-Za-z0-9+/=]+/.test(signature)) findings.push(fail(`its signature is not "v1,…": ${signature}`))
  if (second === undefined) return [...findings, warn('the delivery was answered with 503, and was not repeated')]
  const isSame = second.headers['webhook-id'] === first.headers['webhook-id'] && second.body === first.body
  return [
    ...findings,
    isSame
      ? pass('after a 503 it was repeated, with the same id')
      : fail('after a 503 it was repeated with another id or body'),
  ]
}

/** A description in lower case, with its references resolved. */
function dereferenceAll(text: string, document: Readonly<Record<string, unknown>>): string {
  const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, $ref]) => dereference({ $ref }, document))
  return `${text}${JSON.stringify(references)}`.toLowerCase()
}

function gradeDescription({ description, main }: Evidence): Finding[] {
  if (description === undefined) return [warn('no OpenAPI document was found; pass its URL with --openapi')]
  const { operation, document } = description
  if (operation === undefined) return [warn(`${description.url} does not describe this request`)]
  const responses = fieldsOf(operation.responses)
  const accepted = fieldsOf(dereference(responses[String(main.accepted.status)], document))
  if (Object.keys(accepted).length === 0) return [warn(`the document has no response ${main.accepted.status}`)]
  const headers = Object.keys(fieldsOf(accepted.headers)).map(name => name.toLowerCase())
  const missing = READ_HEADERS.filter(name => main.accepted.headers.has(name) && !headers.includes(name)).map(titleCase)
  const has = (name: string) => Object.keys(fieldsOf(accepted[name] ?? operation[name])).length > 0
  const problems = Object.entries(responses).some(
    ([code, response]) => /^[45]|default/.test(code) && isProblemResponse(response, document),
  )
  return [
    missing.length === 0
      ? pass('the headers of the answer are described')
      : warn(`the answer's ${missing.join(', ')} is not described`),
    has('links') || has('callbacks')
      ? pass('the links of the answer lead to the status')
      : warn('the answer has no link to the status'),
    problems ? pass('problems are described') : warn('no response has application/problem+json'),
  ]
}

function isProblemResponse(response: unknown, document: Readonly<Record<string, unknown>>): boolean {
  return fieldsOf(fieldsOf(dereference(response, document)).content)['application/problem+json'] !== undefined
}
