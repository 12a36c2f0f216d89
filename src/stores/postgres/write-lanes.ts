/** Writes submissions, changes and notes. Calls that arrive during a write are combined in the next one. */
import type { Operation, Outcome } from '../../model/operation.ts'
import type { Submission } from '../../model/submission.ts'
import { isId } from '../../util/is-id.ts'
import type { Acceptance } from '../store.ts'
import { BUSY } from './busy-lane.ts'
import type { Claims } from './claims.ts'
import { type ChangeItem, completionsAmong, isCompletion } from './completions.ts'
import type { Durations } from './durations.ts'
import { type Hub, isReady } from './hub.ts'
import { keyOfSubmission, Lanes } from './lanes.ts'
import { isPlain } from './plain-submissions.ts'
import type { NoteItem, Telling, Writer } from './writer.ts'

/** Options of {@link WriteLanes}. */
export interface WriteLanesOptions {
  /** How long a write may take, in milliseconds. */
  readonly limitMs: number
  readonly writer: Writer
  /** Sends hints about what is written. */
  readonly hub: Hub
  /** A claim that comes with completions is written with them. */
  readonly claims: Claims
  /** Receives how long attempts ran. */
  readonly durations: Durations
}

export class WriteLanes {
  readonly #writer: Writer
  readonly #hub: Hub
  readonly #claims: Claims
  readonly #durations: Durations
  readonly #accepts: Lanes<Submission, Acceptance>
  readonly #changes: Lanes<ChangeItem, Operation | undefined>
  readonly #notes: Lanes<NoteItem, boolean>

  constructor({ limitMs, writer, hub, claims, durations }: WriteLanesOptions) {
    this.#writer = writer
    this.#hub = hub
    this.#claims = claims
    this.#durations = durations
    this.#accepts = new Lanes({
      limitMs,
      write: (submissions, until) => this.#acceptAll(submissions, until),
      key: keyOfSubmission,
      isTied: ({ idempotencyKey }) => idempotencyKey !== null,
      size: ({ input }) => input.length,
    })
    this.#changes = new Lanes({
      limitMs,
      write: (items, until) => this.#changeAndMeasure(items, until),
      key: ({ id }) => id,
      size: ({ change }) => (change.kind === 'finish' ? sizeOf(change.outcome) : 0),
      apart: completionsAmong,
    })
    this.#notes = new Lanes({
      limitMs,
      write: (items, until) => this.#noteAll(items, until),
      key: ({ lease }) => lease.id,
      size: ({ note }) => (note.kind === 'step' ? note.value.length : note.message.length),
    })
  }

  async accept(submission: Submission): Promise<Acceptance> {
    return await this.#accepts.add(submission)
  }

  async change(item: ChangeItem): Promise<Operation | undefined> {
    return await this.#changes.add(item)
  }

  async note(item: NoteItem): Promise<boolean> {
    return await this.#notes.add(item)
  }

  /** Whether changes are written at the end of this turn of the event loop. */
  get isCollectingChanges(): boolean {
    return this.#changes.isCollecting
  }

  /** Resolves when nothing is being written. */
  async drained(): Promise<void> {
    await Promise.all([this.#accepts, this.#changes, this.#notes].map(lanes => lanes.drained()))
  }

  async #acceptAll(submissions: readonly Submission[], until: number): Promise<(Acceptance | typeof BUSY)[]> {
    if (submissions.every(isPlain)) {
      const types = new Set(submissions.filter(({ delay }) => !(delay > 0)).map(({ type }) => type))
      const hints = [...types].map(type => ({ kind: 'ready', type }) as const)
      return await this.#hub.tellWith(hints, telling => this.#writer.accept(submissions, until, telling))
    }
    const acceptances = await this.#writer.accept(submissions, until)
    const made = acceptances.flatMap(it => (it !== BUSY && it.kind === 'accepted' ? [it.operation] : []))
    for (const type of new Set(made.filter(isReady).map(({ type }) => type))) this.#hub.tell({ kind: 'ready', type })
    return acceptances
  }

  async #changeAndMeasure(
    items: readonly ChangeItem[],
    until: number,
  ): Promise<(Operation | typeof BUSY | undefined)[]> {
    const answers = await this.#changeAll(items, until)
    for (const [index, { change }] of items.entries()) {
      const answer = answers[index]
      if (answer !== undefined && answer !== BUSY && isCompletion(change)) this.#durations.note(answer)
    }
    return answers
  }

  async #changeAll(items: readonly ChangeItem[], until: number): Promise<(Operation | typeof BUSY | undefined)[]> {
    if (completionsAmong(items).size === items.length) {
      const hints = items.filter(({ id }) => isId(id)).map(({ id }) => ({ kind: 'ended', id }) as const)
      return await this.#hub.tellWith(hints, telling => this.#complete(items, until, telling))
    }
    const answers = await this.#writer.change(items, until)
    for (const answer of answers) if (answer !== undefined && answer !== BUSY) this.#hub.tellOf(answer)
    return answers
  }

  async #complete(
    items: readonly ChangeItem[],
    until: number,
    telling: Telling,
  ): Promise<(Operation | typeof BUSY | undefined)[]> {
    const claim = this.#claims.joining()
    if (claim === undefined) return await this.#writer.complete(items, until, telling)
    try {
      return await this.#writer.finishAndClaim(items, claim, until, telling)
    } catch (error) {
      claim.reject(error)
      throw error
    }
  }

  async #noteAll(items: readonly NoteItem[], until: number): Promise<(boolean | typeof BUSY)[]> {
    const kept = await this.#writer.note(items, until)
    const logged = items.filter(({ note }, index) => note.kind === 'log' && kept[index] === true)
    for (const id of new Set(logged.map(({ lease }) => lease.id))) this.#hub.tell({ kind: 'changed', id })
    return kept
  }
}

function sizeOf(outcome: Outcome): number {
  return outcome.kind === 'completed' ? outcome.output.length : 0
}
