/** The rules of asynchronous HTTP APIs, each with its standards, and the grading of answers. */
import { contractRules } from './contract-rules.ts'
import type { Evidence } from './drive.ts'
import { lifeRules } from './life-rules.ts'
import { offerRules } from './offer-rules.ts'
import type { Grade, Graded, Rule } from './rule.ts'

/** Every rule, in the order of their numbers. */
const RULES: readonly Rule[] = [...contractRules, ...lifeRules, ...offerRules].sort((a, b) => a.number - b.number)

const WORST: readonly Grade[] = ['fail', 'warn', 'pass']

/** Grades the answers of an API by every rule. */
export function gradeAll(evidence: Evidence): Graded[] {
  return RULES.map(({ number, title, source, grade }) => {
    const findings = grade(evidence)
    const worst = WORST.find(it => findings.some(finding => finding.grade === it)) ?? 'skip'
    return { number, title, source, grade: worst, findings }
  })
}
