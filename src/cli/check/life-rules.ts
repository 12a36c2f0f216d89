/** Rules about the life of an operation: its status, its end, its result and its cancel. */
import { fieldsOf } from '../../util/fields.ts'
import type { Canceled, Evidence, Watched } from './drive.ts'
import { COLON_CANCEL } from './drive.ts'
import { describeExchange, type Exchange, isProblem } from './exchange.ts'
import { memberAt, resultUrlOf, retryAfterOf, stateOf, stateOfWord, statusWord } from './reading.ts'
import { type Finding, fail, gradeRetryAfter, pass, type Rule, skip, warn } from './rule.ts'

export const lifeRules: readonly Rule[] = [
  {
    number: 4,
    title: 'Each operation has a status URL of its own; an unknown one is 404, and "not yet" never is',
    source: 'Azure Architecture Center, async request-reply; OData 4.01, 11.6; RFC 9110, 15.5.5',
    grade: gradeStatusUrl,
  },
  {
    number: 5,
    title: 'Until the operation ends, its status has the state, its times and Retry-After',
    source: 'Azure REST guidelines, long-running operations; RFC 9110, 10.2.3',
    grade: gradePending,
  },
  {
    number: 6,
    title: 'A final status never changes, and has either a result or an error',
    source: 'AIP-151; google.longrunning.Operation',
    grade: gradeEnd,
  },
  {
    number: 7,
    title: 'A completed operation leads to its result: by a 303, or in its status',
    source: 'RFC 9110, 15.4.4; Azure Architecture Center, async request-reply',
    grade: gradeDone,
  },
  {
    number: 8,
    title: 'A failed operation says why, and is not mistaken for a failed request',
    source: 'RFC 9457, 3; Azure REST guidelines, long-running operations; FHIR bulk data, status request',
    grade: gradeFailed,
  },
  {
    number: 9,
    title: 'Cancel can be repeated, may take effect later, and is refused after the end',
    source: 'AIP-151, cancel; OData 4.01, 11.6; RFC 9110, 15.3.3 and 15.5.10',
    grade: gradeCancel,
  },
  {
    number: 10,
    title: 'Cancel and delete are not confused',
    source: 'AIP-151, delete and cancel; Azure REST guidelines, long-running operations',
    grade: gradeDelete,
  },
]

function gradeStatusUrl({ target, main, keyed, unknown, preferred }: Evidence): Finding[] {
  const { url } = main.pointer
  const findings: Finding[] = []
  const others = [keyed.race[0], preferred].filter(({ status }) => status === 202)
  if (url === target.url) findings.push(fail('the status URL is the URL of the POST'))
  else if (others.some(other => other.headers.get('location') === url)) {
    findings.push(fail('two operations have the same status URL'))
  }
  if (main.polls.some(poll => poll.status === 404))
    findings.push(fail('the status is 404 while the operation is not finished'))
  else findings.push(pass('the status exists immediately'))
  return [...findings, gradeUnknown(unknown)]
}

function gradeUnknown(unknown: Exchange): Finding {
  const seen = `an unknown operation: ${describeExchange(unknown)}`
  if ([404, 410].includes(unknown.status)) return pass(seen)
  if (unknown.status >= 400 && unknown.status < 500) return warn(`${seen} instead of 404`)
  return fail(`${seen} instead of 404`)
}

function gradePending({ main: { polls, state } }: Evidence): Finding[] {
  const pending = state === 'unclear' ? polls : polls.slice(0, -1)
  const [first] = pending
  if (first === undefined)
    return [skip('the operation had ended at the first poll; pass a body that takes longer with --data')]
  const unasked = pending.find(poll => retryAfterOf(poll) === undefined) ?? first
  return [gradeRetryAfter(unasked, 'a status that is not final'), ...gradeWord(first), ...gradeTimes(first)]
}

function gradeWord({ status, json }: Exchange): Finding[] {
  const word = statusWord(json)
  const { done } = fieldsOf(json)
  if (word !== undefined && stateOfWord(word) !== 'unclear') return [pass(`its status is "${word}"`)]
  if (word !== undefined) return [warn(`its status is "${word}", which is not a word of the standards`)]
  if (done === false) return [pass('"done" is false')]
  return status === 202
    ? [pass('202 shows that the operation is not finished')]
    : [fail('neither its status code nor its body shows that the operation is not finished')]
}

const CREATED = [
  'createdAt',
  'createdDateTime',
  'createdTime',
  'created',
  'startTime',
  'created_at',
  'metadata.createTime',
]
const UPDATED = [
  ...['updatedAt', 'lastUpdatedAt', 'lastActionDateTime', 'lastUpdatedTime', 'updated', 'updated_at'],
  'metadata.updateTime',
]

function gradeTimes({ json }: Exchange): Finding[] {
  const has = (paths: readonly string[]) => paths.some(path => memberAt(json, path) !== undefined)
  const missing = [...(has(CREATED) ? [] : ['when it was created']), ...(has(UPDATED) ? [] : ['when it last changed'])]
  if (missing.length === 0) return [pass('the status shows when the operation was created and when it last changed')]
  return [warn(`the status does not show ${missing.join(' and ')}, so a stalled operation looks like one in progress`)]
}

function gradeEnd({ main, again }: Evidence): Finding[] {
  const final = main.polls.at(-1)
  if (main.state === 'unclear' || final === undefined) {
    return [fail(`the operation has not ended: the last answer was ${final && describeExchange(final)}`)]
  }
  const pendingIs202 = main.polls.some(({ status }) => status === 202)
  const isSame = stateOf(again.status, pendingIs202) === main.state && resultUrlOf(again.status) === resultUrlOf(final)
  const { result, response, error } = fieldsOf(final.json)
  const both = (result ?? response ?? undefined) !== undefined && (error ?? undefined) !== undefined
  return [
    isSame
      ? pass(`${main.state}, and the same at the next poll`)
      : fail(`at the next poll it is ${describeExchange(again.status)}`),
    ...(main.result?.text === again.result?.text ? [] : [fail('a second read of the result returns another one')]),
    ...(both ? [fail('it has a result and an error')] : []),
  ]
}

function gradeDone({ main: { state, polls, result } }: Evidence): Finding[] {
  const final = polls.at(-1)
  if (state !== 'completed' || final === undefined) return [skip(`the operation did not complete: ${state}`)]
  const { status } = final
  if (status >= 300 && status < 400 && status !== 303) {
    return [fail(`${status} instead of 303: a client may repeat its method at the result, or take it for a move`)]
  }
  const seen = describeExchange(final)
  if (result !== undefined) {
    if (result.status >= 400) return [fail(`${seen}, and the result: ${describeExchange(result)}`)]
    return [pass(`${seen}, and the result: ${describeExchange(result)}`)]
  }
  const hasResult = ['result', 'response', 'output', 'properties'].some(
    name => fieldsOf(final.json)[name] !== undefined,
  )
  const isMonitor = statusWord(final.json) !== undefined || fieldsOf(final.json).done === true
  if (isMonitor && !hasResult) return [warn(`${seen} has neither the result nor its URL`)]
  return [pass(`${seen} has the result`)]
}

function gradeFailed({ target, failed }: Evidence): Finding[] {
  if (target.fail === undefined) return [skip('pass a body whose operation fails with --fail')]
  if (failed === undefined) return [skip('the body of --fail was refused: pass one that is accepted and then fails')]
  const { state, polls, result } = failed
  const final = polls.at(-1)
  if (final === undefined) return [skip('there was no status')]
  if (state === 'unclear') return [fail(`the failure looks like a failed request: ${describeExchange(final)}`)]
  if (result !== undefined) return gradeFailedResult(result)
  if (state === 'completed')
    return [fail(`the operation should have failed, but it looks completed: ${describeExchange(final)}`)]
  if (fieldsOf(final.json).error === undefined)
    return [fail(`${describeExchange(final)} has no reason: "error" is missing`)]
  return final.status === 200
    ? [pass('the status is 200, and the body has the error')]
    : [warn(`the status URL answers ${final.status} for a failed operation, as if the poll itself had failed`)]
}

function gradeFailedResult(result: Exchange): Finding[] {
  const seen = `the result: ${describeExchange(result)}`
  if (result.status < 400) return [fail(`${seen}: clients mistake the failure for a result`)]
  const error = fieldsOf(fieldsOf(result.json).error ?? result.json)
  const says = result.json === undefined ? [fail(`${seen} has no reason`)] : [pass(seen)]
  if (error.status !== undefined && error.status !== result.status) {
    says.push(fail(`the problem has the status ${error.status}, but the response has ${result.status}`))
  }
  const isTyped = isProblem(result) || (typeof error.title === 'string' && typeof error.status === 'number')
  return isTyped ? says : [...says, warn(`${seen} is not a problem detail`)]
}

function gradeCancel({ canceled }: Evidence): Finding[] {
  if (canceled === undefined) return [skip('neither DELETE nor :cancel exists')]
  return [gradeFirst(canceled), gradeSecond(canceled), gradeOutcome(canceled), ...gradeLate(canceled)]
}

function gradeFirst({ how, first }: Canceled): Finding {
  const seen = `${how}: ${first.status}`
  if (first.status < 300 || [409, 410].includes(first.status)) return pass(seen)
  return fail(`${seen}: a cancel should be answered with 200, 202 or 204`)
}

function gradeSecond({ second }: Canceled): Finding {
  if (second.status < 300 || [404, 409, 410].includes(second.status)) return pass(`repeated: ${second.status}`)
  return fail(`repeated: ${second.status}`)
}

function gradeOutcome({ watched: { state, polls } }: Canceled): Finding {
  const last = polls.at(-1)
  if (state !== 'unclear') return pass(`afterwards it is ${state}`)
  if (last !== undefined && [404, 410].includes(last.status)) return pass(`afterwards it is gone: ${last.status}`)
  return fail(`afterwards it never ends: ${last && describeExchange(last)}`)
}

function gradeLate({ late }: Canceled): Finding[] {
  if (late === undefined) return []
  const seen = `a cancel after the end: ${late.status}`
  if (late.status < 300 || [404, 405, 409, 410].includes(late.status)) return [pass(seen)]
  return [fail(`${seen} instead of 409 or 410`)]
}

function gradeDelete({ canceled, colonCancel, description }: Evidence): Finding[] {
  if (colonCancel !== undefined && (colonCancel.status < 300 || [409, 410].includes(colonCancel.status))) {
    return [pass(`${COLON_CANCEL} exists: ${colonCancel.status}`)]
  }
  if (canceled?.how !== 'DELETE') return [skip('DELETE of the status does not cancel')]
  if (describesDelete(canceled.watched, description)) return [pass('DELETE cancels, and the OpenAPI document says so')]
  return [warn('DELETE cancels, but this is not documented: offer :cancel, or describe DELETE in an OpenAPI document')]
}

function describesDelete({ pointer }: Watched, description: Evidence['description']): boolean {
  const { pathname } = new URL(pointer.url)
  const paths = Object.entries(fieldsOf(description?.document.paths))
  return paths.some(([path, item]) => {
    const pattern = new RegExp(`${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`)
    return pattern.test(pathname) && /cancel/i.test(JSON.stringify(fieldsOf(item).delete ?? ''))
  })
}
