/** A store as plain as can be: a map of records, changed by the pure functions of the state machine. */
import type { Change, Operation } from '../../src/model/operation.ts'
import { isFinal } from '../../src/model/protocol.ts'
import { accepted, changed, claimed, expired, launching, renewed } from '../../src/model/state-machine.ts'
import type { Submission } from '../../src/model/submission.ts'
import { eventText, waitStep } from '../../src/model/waits.ts'
import type { Claim, ClaimRequest, Lease, LogLine, Note, Renewal, SweepResult } from '../../src/stores/store.ts'

const DAY = 86_400_000

interface Entry {
  operation: Operation
  input: string | undefined
  output: string | undefined
  readonly steps: Map<string, string>
  readonly logs: LogLine[]
  purgeAt: number | undefined
}

export class StoreModel {
  readonly entries = new Map<string, Entry>()
  readonly #durations = new Map<string, number[]>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  accept(submission: Submission): unknown {
    const { id, type, owner, idempotencyKey } = submission
    const byKey = this.all().find(
      it => idempotencyKey !== null && it.type === type && it.owner === owner && it.idempotencyKey === idempotencyKey,
    )
    if (byKey !== undefined && byKey.id !== id) return { kind: 'known', operation: byKey }
    const known = this.entries.get(id)
    if (known !== undefined) return { kind: 'accepted', operation: known.operation }
    const operation = accepted(submission, this.#now())
    this.entries.set(id, {
      operation,
      input: submission.input,
      output: undefined,
      steps: new Map(),
      logs: [],
      purgeAt: undefined,
    })
    return { kind: 'accepted', operation }
  }

  claim(request: ClaimRequest): Claim[] {
    if ('id' in request.from) return this.#claimEach([request.from.id], request)
    const claims: Claim[] = []
    for (const { type, limit } of request.from.types) {
      const room = Math.min(limit, request.from.limit - claims.length)
      claims.push(...this.#claimEach(this.#inTime(type).slice(0, Math.max(0, room)), request))
    }
    return claims
  }

  /** What is ready, and not too late. */
  #inTime(type: string): string[] {
    return this.ready(type).filter(id => {
      const { attempt = 0, startBy = null, deadline = null } = this.entries.get(id)?.operation ?? {}
      return (
        (attempt > 0 || (startBy ?? Number.POSITIVE_INFINITY) > this.#now()) &&
        (deadline ?? Number.POSITIVE_INFINITY) > this.#now()
      )
    })
  }

  renew(leases: readonly Lease[], leaseMs: number): Renewal[] {
    return leases.map(({ id, attempt }) => {
      const after = this.#apply(id, operation => renewed(operation, attempt, leaseMs, this.#now()))
      return after === undefined ? { kind: 'lost' } : { kind: 'held', cancelRequested: after.cancelRequested }
    })
  }

  change(id: string, change: Change): Operation | undefined {
    const after = this.#apply(id, operation => changed(operation, change, this.#now()))
    const entry = this.entries.get(id)
    if (after !== undefined && entry !== undefined && change.kind === 'finish' && change.outcome.kind === 'completed') {
      entry.output = change.outcome.output
      const durations = this.#durations.get(after.type) ?? []
      durations.unshift(this.#now() - (after.attemptStartedAt ?? 0))
      this.#durations.set(after.type, durations.slice(0, 100))
    }
    if (after !== undefined && entry !== undefined && change.kind === 'event') {
      const step = waitStep(change.name)
      if (!entry.steps.has(step)) entry.steps.set(step, eventText(change.value, this.#now()))
    }
    return after
  }

  note({ id, attempt }: Lease, note: Note): boolean {
    const entry = this.entries.get(id)
    if (entry?.operation.status !== 'running' || entry.operation.attempt !== attempt) return false
    if (note.kind === 'step') {
      if (!entry.steps.has(note.name)) entry.steps.set(note.name, note.value)
    } else {
      const { level, message } = note
      entry.logs.push({ sequence: entry.logs.length + 1, at: this.#now(), attempt, level, message })
    }
    return true
  }

  launch({ types, limit, holdMs }: { types: readonly string[]; limit: number; holdMs: number }): Operation[] {
    const ids = types.flatMap(type => this.#inTime(type)).slice(0, limit)
    return ids.flatMap(id => this.#apply(id, operation => launching(operation, holdMs, this.#now())) ?? [])
  }

  sweep(): SweepResult {
    const swept = {
      expired: this.all().flatMap(({ id }) => this.#apply(id, operation => expired(operation, this.#now())) ?? []),
      purged: [] as string[],
    }
    for (const [id, entry] of this.entries) {
      if (entry.purgeAt === undefined || entry.purgeAt > this.#now()) continue
      swept.purged.push(id)
      this.#purge(id, entry)
    }
    return swept
  }

  all(): Operation[] {
    return [...this.entries.values()].map(({ operation }) => operation)
  }

  /** The ids of what can be claimed, in the order of the claims. */
  ready(type: string): string[] {
    return this.all()
      .filter(it => it.type === type && it.status === 'pending' && (it.runAt ?? 0) <= this.#now())
      .sort((a, b) => b.priority - a.priority || (a.id < b.id ? -1 : 1))
      .map(({ id }) => id)
  }

  queue(type: string): unknown {
    const ready = this.ready(type)
    const acceptedAt = ready.flatMap(id => this.entries.get(id)?.operation.createdAt ?? [])
    return {
      ready,
      depth: ready.length,
      running: this.all().filter(it => it.type === type && it.status === 'running').length,
      oldestAt: ready.length === 0 ? null : Math.min(...acceptedAt),
      durations: this.#durations.get(type) ?? [],
    }
  }

  #claimEach(ids: readonly string[], request: ClaimRequest): Claim[] {
    return ids.flatMap(id => {
      const after = this.#apply(id, operation => claimed(operation, request, this.#now()))
      return after === undefined ? [] : [{ operation: after, input: this.entries.get(id)?.input ?? '' }]
    })
  }

  #apply(id: string, step: (operation: Operation) => Operation | undefined): Operation | undefined {
    const entry = this.entries.get(id)
    const after = entry && step(entry.operation)
    if (entry === undefined || after === undefined) return undefined
    if (isFinal(after.status) && !isFinal(entry.operation.status)) entry.purgeAt = after.expiresAt ?? undefined
    entry.operation = after
    return after
  }

  #purge(id: string, entry: Entry): void {
    if (entry.operation.purged) {
      this.entries.delete(id)
      return
    }
    const { retention } = entry.operation
    entry.purgeAt = this.#now() + Math.min(Math.max(retention, DAY), 30 * DAY)
    entry.operation = { ...entry.operation, purged: true, idempotencyKey: null }
    entry.input = entry.output = undefined
    entry.steps.clear()
    entry.logs.length = 0
  }
}
