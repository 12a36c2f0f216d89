import type { Submission } from '../../src/model/submission.ts'

/** A submission with everything a test does not care about filled in. */
export function submissionOf(id: string, parts: Partial<Submission> = {}): Submission {
  return {
    id,
    type: 'orders',
    owner: '',
    priority: 0,
    input: JSON.stringify(id),
    maxAttempts: 3,
    maxLost: 2,
    retention: 3_600_000,
    startWithin: null,
    delay: 0,
    idempotencyKey: null,
    fingerprint: null,
    traceparent: null,
    webhookUrl: null,
    ...parts,
  }
}
