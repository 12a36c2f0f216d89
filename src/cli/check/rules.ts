/** The rules of asynchronous HTTP APIs, each with the standard that it is from, and how what was answered is graded. */
import { contractRules } from './contract-rules.ts'
import type { Evidence } from './drive.ts'
import { lifeRules } from './life-rules.ts'
import { offerRules } from './offer-rules.ts'
import type { Grade, Graded, Rule } from './rule.ts'

/** Every rule, in the order of their numbers. */
const RULES: readonly Rule[] = [...contractRules, ...lifeRules, ...offerRules].sort((a, b) => a.number - b.number)

const WORST: readonly Grade[] = ['fail', 'warn', 'pass']

/** Grades what an API answered by every rule. */
export function gradeAll(evidence: Evidence): Graded[] {
  return RULES.map(({ number, title, source, grade }) => {
    const findings = grade(evidence)
    const worst = WORST.find(it => findings.some(finding => finding.grade === it)) ?? 'skip'
    return { number, title, source, grade: worst, findings }
  })
}
