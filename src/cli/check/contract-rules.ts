/** Rules about starting an operation: the refusal, the 202, the preferences and the keys. */
import { fieldsOf } from '../../util/fields.ts'
import { type Evidence, type Keyed, WAIT_SECONDS } from './drive.ts'
import { describeExchange, type Exchange, isProblem } from './exchange.ts'
import { memberAt, pointerOf, statusWord } from './reading.ts'
import { type Finding, fail, gradeRetryAfter, pass, type Rule, skip, warn } from './rule.ts'

export const contractRules: readonly Rule[] = [
  {
    number: 1,
    title: 'Invalid input is refused at once, with a problem',
    source: 'Azure Architecture Center, async request-reply; RFC 9457, 3',
    grade: ({ refused }) => refused.flatMap(gradeRefusal),
  },
  {
    number: 2,
    title: 'The API answers 202, with the URL of the status and when to poll it',
    source: 'RFC 9110, 15.3.3 and 10.2.3; Azure REST guidelines, long-running operations',
    grade: gradeAccepted,
  },
  {
    number: 3,
    title: 'Prefer is honored or ignored, and Preference-Applied says which',
    source: 'RFC 7240, 2, 3 and 4.3; OData 4.01, 11.6',
    grade: gradePreferences,
  },
  {
    number: 11,
    title: 'Requests with one Idempotency-Key start one operation',
    source: 'draft-ietf-httpapi-idempotency-key-header, 2.6 and 2.7',
    grade: gradeKeys,
  },
]

function gradeRefusal(answer: Exchange): Finding[] {
  const seen = describeExchange(answer)
  if (answer.status < 400) return [fail(`an invalid body is accepted: ${seen}`)]
  if (answer.status >= 500) return [fail(`an invalid body is answered as an error of the server: ${seen}`)]
  if (!isProblem(answer)) return [pass(seen), warn(`the refusal is not application/problem+json: ${seen}`)]
  const { status } = fieldsOf(answer.json)
  if (status !== undefined && status !== answer.status) {
    return [fail(`the problem has the status ${status}, but the response has ${answer.status}`)]
  }
  return [pass(`${seen}, a problem`)]
}

function gradeAccepted({ main: { accepted, pointer, polls } }: Evidence): Finding[] {
  const findings: Finding[] = []
  if (accepted.status === 202) findings.push(pass(`202, the status is at ${new URL(pointer.url).pathname}`))
  else findings.push(warn(`${accepted.status} instead of 202 Accepted`))
  if (pointer.by === 'the body') findings.push(warn('only the body has the URL of the status; no header has it'))
  else findings.push(pass(`${pointer.by} has the URL of the status`))
  if (polls[0] !== undefined && polls[0].status >= 400) findings.push(fail(`it leads to ${describeExchange(polls[0])}`))
  findings.push(gradeRetryAfter(accepted, `the ${accepted.status}`))
  const hasStatus = statusWord(accepted.json) !== undefined || memberAt(accepted.json, 'done') !== undefined
  if (!hasStatus) findings.push(warn('its body does not describe the status of the operation'))
  return findings
}

function gradePreferences({ preferred, main }: Evidence): Finding[] {
  const { status, headers, ms } = preferred
  if (status >= 400) return [fail(`an unknown preference makes it refuse the request: ${describeExchange(preferred)}`)]
  const findings: Finding[] = []
  if (main.accepted.headers.has('odata-version') && main.accepted.status === 202) {
    findings.push(fail('an OData service must not answer 202 unless respond-async was preferred'))
  }
  const applied = headers.get('preference-applied')
  if (applied !== null) {
    return [
      ...findings,
      pass(`wait=${WAIT_SECONDS}: ${status} after ${Math.round(ms)} ms, Preference-Applied: ${applied}`),
    ]
  }
  const isHeld = main.accepted.status === 202 && status !== 202
  if (isHeld) return [...findings, warn(`wait was honored (${status}), but Preference-Applied is missing`)]
  return [...findings, pass('wait is ignored, as the standard allows, and so is an unknown preference')]
}

function gradeKeys({ keyed, keyless, target }: Evidence): Finding[] {
  const { first, same, other, race } = keyed
  const findings: Finding[] = []
  if (keyless !== undefined) findings.push(gradeKeyless(keyless))
  const named = (answer: Exchange) => pointerOf(answer, target)?.url ?? answer.text
  if (first.status >= 400) return [...findings, fail(`a request with a key is refused: ${describeExchange(first)}`)]
  if (same.status < 400 && named(same) !== named(first)) {
    return [...findings, warn('keys are ignored: the same request with the same key starts a second operation')]
  }
  if (same.status >= 400)
    findings.push(fail(`the same request with the same key is refused: ${describeExchange(same)}`))
  else findings.push(pass(`the same key and body: ${same.status} and the same operation`))
  return [...findings, gradeOther(other, target.other !== undefined), gradeRace(race, named)]
}

function gradeKeyless(keyless: Exchange): Finding {
  return keyless.status === 400
    ? pass('a request without the required key: 400')
    : warn(`a request without the required key: ${keyless.status} instead of 400`)
}

function gradeOther(other: Exchange, isNamed: boolean): Finding {
  if (other.status === 422) return pass('the same key with another body: 422')
  if (other.status < 400) return fail(`the same key with another body is accepted: ${describeExchange(other)}`)
  if (other.status === 400 && !isNamed) {
    return skip('the same key with another body: the generated body was refused; pass one with --other')
  }
  return warn(`the same key with another body: ${other.status} instead of 422`)
}

function gradeRace([a, b]: Keyed['race'], named: (answer: Exchange) => string): Finding {
  const accepted = [a, b].filter(({ status }) => status < 400)
  if (accepted.length === 2 && named(a) !== named(b))
    return fail('two requests with one key at once start two operations')
  if (accepted.length === 2) return pass('two requests with one key at once start one operation')
  const refused = [a, b].find(({ status }) => status >= 400)
  if (accepted.length === 1 && refused?.status === 409)
    return pass('two requests with one key at once: one operation, and 409')
  return fail(`two requests with one key at once: ${describeExchange(a)}, ${describeExchange(b)}`)
}
