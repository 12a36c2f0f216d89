/**
 * Random commands on a store and on a plain model made of the state machine's functions: after each
 * one, both must tell the same. A failure prints the seed and the shortest list of commands that shows it.
 */

import fc from 'fast-check'
import { expect } from 'vitest'
import { type ManualClock, manualClock } from 'waybill/testing'
import type { Change, ClaimBy, Operation, Outcome } from '../../src/model/operation.ts'
import { problem } from '../../src/model/problem.ts'
import { FINAL_STATUSES, isFinal } from '../../src/model/protocol.ts'
import type { Submission } from '../../src/model/submission.ts'
import { WAIT_KINDS, type WaitRequest } from '../../src/model/waits.ts'
import { listAllActive } from '../../src/stores/list-all-active.ts'
import type { Claim, ClaimRequest, Lease, Note, Store, SweepResult } from '../../src/stores/store.ts'
import { StoreModel } from './store-model.ts'
import { submissionOf } from './submission.ts'

const SECOND = 1000
const DAY = 86_400 * SECOND
const LEASE_MS = 30 * SECOND
const TYPES = ['orders', 'refunds'] as const
const OWNERS = ['', 'ann'] as const
const PARENT = '01941f29-7c00-7000-8000-0000000000fe'
const CLAIM_BY = { holder: 'host/1/a', leaseMs: LEASE_MS }

type Write =
  | { readonly do: 'accept'; readonly submission: Submission }
  | { readonly do: 'claim'; readonly request: ClaimRequest }
  | { readonly do: 'renew'; readonly leases: readonly Lease[] }
  | { readonly do: 'change'; readonly id: string; readonly change: Change }
  | { readonly do: 'note'; readonly lease: Lease; readonly note: Note }
  | { readonly do: 'launch'; readonly types: readonly string[]; readonly limit: number; readonly holdMs: number }

/** A write before it is known which operations there are. `at` picks one of them, `by` is added to its attempt. */
type Aimed =
  | { readonly do: 'accept'; readonly again: number | undefined; readonly parts: Partial<Submission> }
  | { readonly do: 'claim'; readonly types: readonly string[]; readonly each: number; readonly limit: number }
  | { readonly do: 'claim one'; readonly at: number; readonly execution: Pick<ClaimBy, 'execution' | 'engine'> }
  | { readonly do: 'renew'; readonly leases: readonly { readonly at: number; readonly by: number }[] }
  | { readonly do: 'change'; readonly at: number; readonly by: number; readonly change: AimedChange }
  | { readonly do: 'note'; readonly at: number; readonly by: number; readonly note: Note }
  | { readonly do: 'launch'; readonly types: readonly string[]; readonly limit: number }

type AimedChange = Change extends infer Each ? (Each extends Change ? Omit<Each, 'attempt'> : never) : never

type Command =
  | { readonly do: 'at once'; readonly writes: readonly Aimed[] }
  | { readonly do: 'sweep' }
  | { readonly do: 'advance'; readonly ms: number }

const at = fc.nat(30)
const by = fc.constantFrom(0, 0, 0, 0, -1, 1)

const parts: fc.Arbitrary<Partial<Submission>> = fc.record({
  type: fc.constantFrom(...TYPES),
  owner: fc.constantFrom(...OWNERS),
  priority: fc.constantFrom(0, 0, -5, 5),
  idempotencyKey: fc.constantFrom(null, null, 'a', 'b'),
  delay: fc.constantFrom(0, 0, 0, 5 * SECOND),
  startWithin: fc.constantFrom(null, null, 20 * SECOND),
  endWithin: fc.constantFrom(null, null, undefined, 30 * SECOND, 90 * SECOND),
  maxAttempts: fc.constantFrom(1, 2, 3),
  maxLost: fc.constantFrom(0, 1, 2),
  retention: fc.constantFrom(0, 60 * SECOND, 2 * DAY),
  webhookUrl: fc.constantFrom(null, null, 'https://hooks.example/'),
  parent: fc.constantFrom(null, null, PARENT),
})

const note: fc.Arbitrary<Note> = fc.oneof(
  fc.record({ kind: fc.constant('log'), level: fc.constant('info'), message: fc.string() }),
  fc.record({ kind: fc.constant('step'), name: fc.constantFrom('charge', 'ship'), value: fc.json() }),
)

const waits: fc.Arbitrary<WaitRequest[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(...WAIT_KINDS),
    name: fc.constantFrom('a', 'b'),
    withinMs: fc.option(fc.nat(9 * SECOND)),
    left: fc.nat(2),
    told: fc.nat(2),
  }),
  { minLength: 1, maxLength: 3 },
)

const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({ kind: fc.constant('completed'), output: fc.json() }),
  fc.constant({ kind: 'failed', problem: problem('operation-failed', 'No.') } as const),
  fc.record({
    kind: fc.constant('retry'),
    problem: fc.constant(problem('operation-failed')),
    delayMs: fc.oneof(fc.constant(0), fc.nat(9 * SECOND)),
  }),
  fc.constant({ kind: 'canceled', problem: problem('operation-canceled') } as const),
  fc.constant({ kind: 'released' } as const),
  fc.record({ kind: fc.constant('suspended'), waits }),
)

const progress = fc.record({ fraction: fc.integer({ min: 0, max: 100 }).map(it => it / 100), message: fc.string() })
const launch = fc.constantFrom(0, 1, 1, 2)
/** What a claim knows of the execution that it is of. */
const execution: fc.Arbitrary<Pick<ClaimBy, 'execution' | 'engine'>> = fc.constantFrom(
  {},
  { execution: null },
  ...['job-1', 'job-2'].flatMap(name => [{ execution: name }, { execution: name, engine: 'others' }]),
)

const change: fc.Arbitrary<AimedChange> = fc.oneof(
  { arbitrary: fc.record({ kind: fc.constant('finish'), outcome }), weight: 4 },
  fc.record({ kind: fc.constant('progress'), progress }),
  fc.constant({ kind: 'cancel' } as const),
  fc.record({ kind: fc.constant('launched'), launch, execution: fc.constant('job-1'), engine: fc.constant('jobs') }),
  fc.record({ kind: fc.constant('launch-refused'), launch, delayMs: fc.constant(SECOND) }),
  fc.constant({ kind: 'abandon', reason: 'It is gone.' } as const),
  {
    arbitrary: fc.record({ kind: fc.constant('event'), name: fc.constantFrom('a', 'b'), value: fc.constant('1') }),
    weight: 2,
  },
  fc.constant({ kind: 'has-children' } as const),
  fc.record({ kind: fc.constant('children-ended'), unfinished: fc.nat(3), told: fc.nat(2) }),
  fc.constant({ kind: 'family-told' } as const),
  fc.constant({ kind: 'webhook-accepted' } as const),
  fc.constant({ kind: 'retried', by: '01941f29-7c00-7000-8000-0000000000ff' } as const),
)

const types = fc.subarray([...TYPES])

const write: fc.Arbitrary<Aimed> = fc.oneof(
  {
    arbitrary: fc.record({ do: fc.constant('accept'), again: fc.option(at, { freq: 6, nil: undefined }), parts }),
    weight: 5,
  },
  { arbitrary: fc.record({ do: fc.constant('claim'), types, each: fc.nat(3), limit: fc.nat(4) }), weight: 3 },
  {
    arbitrary: fc.record({ do: fc.constant('claim one'), at, execution }),
    weight: 2,
  },
  { arbitrary: fc.record({ do: fc.constant('change'), at, by, change }), weight: 8 },
  { arbitrary: fc.record({ do: fc.constant('note'), at, by, note }), weight: 2 },
  {
    arbitrary: fc.record({ do: fc.constant('renew'), leases: fc.array(fc.record({ at, by }), { maxLength: 4 }) }),
    weight: 1,
  },
  { arbitrary: fc.record({ do: fc.constant('launch'), types, limit: fc.nat(3) }), weight: 2 },
)

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    arbitrary: fc.record({ do: fc.constant('at once'), writes: fc.array(write, { minLength: 1, maxLength: 5 }) }),
    weight: 8,
  },
  { arbitrary: fc.constant({ do: 'sweep' } as const), weight: 1 },
  {
    arbitrary: fc.record({
      do: fc.constant('advance'),
      ms: fc.constantFrom(1, 500, 5 * SECOND, LEASE_MS, 60 * SECOND, 2 * DAY, 31 * DAY),
    }),
    weight: 2,
  },
)

/** How commands are run. */
export interface CommandsOptions {
  /** Opens an empty store. */
  readonly open: (clock: ManualClock) => Promise<Store>
  /** Whether writes that are asked for at once take effect in the order in which they were asked for; otherwise they are asked for one by one. */
  readonly ordered: boolean
  /** What lists are ordered by: ids, or the acceptance of operations. */
  readonly listsBy: 'id' | 'acceptance'
  /** How many lists of commands, of how many at most. */
  readonly runs: number
  readonly longest: number
}

/** Fails when a store tells anything else than the model does. */
export async function assertFollowsModel({ runs, longest, ...options }: CommandsOptions): Promise<void> {
  const commands = fc.array(command, { minLength: 5, maxLength: longest })
  await fc.assert(
    fc.asyncProperty(commands, list => run(list, options)),
    { numRuns: runs },
  )
}

async function run(
  commands: readonly Command[],
  { open, ordered, listsBy }: Omit<CommandsOptions, 'runs' | 'longest'>,
): Promise<void> {
  const clock = manualClock()
  const store = await open(clock)
  const model = new StoreModel(clock.now)
  const aim = aimer(model)
  try {
    for (const it of commands) {
      if (it.do === 'advance') clock.advance(it.ms)
      else if (it.do === 'sweep') expect(inOrder(await store.sweep(1000))).toEqual(inOrder(model.sweep()))
      else if (ordered) await runAtOnce(it.writes.map(aim), { store, model, clock })
      else for (const write of it.writes) await runAtOnce([aim(write)], { store, model, clock })
      await assertSame(store, model, clock)
      await assertSameLists(store, model, listsBy)
    }
    await assertSameParts(store, model)
  } finally {
    await store.close()
  }
}

/** An id that no operation gets. */
const NO_ID = '01941f29-7c00-7000-8000-000000000000'

/** Aims writes at the operations that the model has now, newest first, and now and then at one that it never had. */
function aimer(model: StoreModel): (write: Aimed) => Write {
  let ids = 0
  const idOf = (at: number) => [...model.entries.keys()].reverse()[at % (model.entries.size + 1)] ?? NO_ID
  const acceptedId = (again: number | undefined) => {
    const known = again === undefined ? NO_ID : idOf(again)
    return known === NO_ID ? fresh() : known
  }
  const leaseOf = ({ at, by }: { at: number; by: number }): Lease => {
    const id = idOf(at)
    return { id, attempt: (model.entries.get(id)?.operation.attempt ?? 0) + by }
  }
  const fresh = () => `01941f29-7c00-7000-8000-${String(++ids).padStart(12, '0')}`
  return it => {
    switch (it.do) {
      case 'accept':
        return { do: 'accept', submission: submissionOf(acceptedId(it.again), it.parts) }
      case 'claim': {
        const from = { types: it.types.map(type => ({ type, limit: it.each })), limit: it.limit }
        return { do: 'claim', request: { ...CLAIM_BY, execution: null, from } }
      }
      case 'claim one':
        return { do: 'claim', request: { ...CLAIM_BY, ...it.execution, from: { id: idOf(it.at) } } }
      case 'renew':
        return { do: 'renew', leases: it.leases.map(leaseOf) }
      case 'change': {
        const { id, attempt } = leaseOf(it)
        return { do: 'change', id, change: { ...it.change, attempt } as Change }
      }
      case 'note':
        return { do: 'note', lease: leaseOf(it), note: it.note }
      case 'launch':
        return { do: 'launch', types: it.types, limit: it.limit, holdMs: 10 * SECOND }
    }
  }
}

/** Writes of one moment share a transaction, in their order. What takes from the queue is asked for last, since it is done last. */
async function runAtOnce(
  unordered: readonly Write[],
  { store, model, clock }: { store: Store; model: StoreModel; clock: ManualClock },
): Promise<void> {
  const takes = (it: Write) => it.do === 'claim' || it.do === 'launch'
  const writes = [...unordered.filter(it => !takes(it)), ...unordered.filter(takes)]
  const answers = await Promise.all(writes.map(it => onStore(store, it)))
  for (const [index, it] of writes.entries()) {
    expect(seen(answers[index], clock.now()), it.do).toEqual(seen(onModel(model, it), clock.now()))
  }
}

async function onStore(store: Store, it: Write): Promise<unknown> {
  switch (it.do) {
    case 'accept':
      return await store.accept(it.submission)
    case 'claim':
      return await store.claim(it.request)
    case 'renew':
      return await store.renew(it.leases, LEASE_MS)
    case 'change':
      return await store.change(it.id, it.change)
    case 'note':
      return await store.appendNote(it.lease, it.note)
    case 'launch':
      return await store.reserveForLaunch(it)
  }
}

function onModel(model: StoreModel, it: Write): unknown {
  switch (it.do) {
    case 'accept':
      return model.accept(it.submission)
    case 'claim':
      return model.claim(it.request)
    case 'renew':
      return model.renew(it.leases, LEASE_MS)
    case 'change':
      return model.change(it.id, it.change)
    case 'note':
      return model.note(it.lease, it.note)
    case 'launch':
      return model.launch(it)
  }
}

async function assertSame(store: Store, model: StoreModel, clock: ManualClock): Promise<void> {
  const now = clock.now()
  const dumps = new Map((await store.dump(undefined, 1000)).map(it => [it.operation.id, it]))
  await Promise.all(
    [...model.entries].map(async ([id, entry]) => {
      expect(seen(await store.read(id), now)).toEqual(seen(entry.operation, now))
      expect(dumps.get(id)).toMatchObject({
        input: entry.input ?? null,
        output: entry.output ?? null,
        logs: entry.logs,
      })
      expect(new Map(dumps.get(id)?.steps)).toEqual(entry.steps)
    }),
  )
  await assertSameQueues(store, model)
}

/** What a dump has shown after each command, by the calls for each part. */
async function assertSameParts(store: Store, model: StoreModel): Promise<void> {
  await Promise.all(
    [...model.entries].map(async ([id, entry]) => {
      expect(await store.readPayload(id, 'input')).toBe(entry.input)
      expect(await store.readPayload(id, 'output')).toBe(entry.output)
      expect(await store.logs(id, 0)).toEqual(entry.logs)
      expect(new Map(await store.steps(id))).toEqual(entry.steps)
    }),
  )
}

async function assertSameQueues(store: Store, model: StoreModel): Promise<void> {
  await Promise.all(TYPES.map(type => assertSameQueue(store, model, type)))
  const due = (await store.webhooksDue(1000)).map(({ id }) => id)
  expect(due).toEqual(idsOf(model, it => it.webhookDue))
  const family = (await store.familyDue(1000)).map(({ id }) => id)
  expect(family).toEqual(idsOf(model, it => it.familyDue))
  const children = (state: string) => idsOf(model, it => it.parent === PARENT && stateOf(it) === state)
  const counts = Object.entries(await store.countChildren(PARENT)).map(([state, count]) => [state, count])
  expect(counts).toEqual(['unfinished', ...FINAL_STATUSES].map(state => [state, children(state).length]))
  const unfinished = await store.listChildren({ parent: PARENT, state: 'unfinished', limit: 1000 })
  expect(unfinished).toEqual(children('unfinished'))
  const held = (await listAllActive(store)).map(({ id }) => id).sort()
  expect(held).toEqual(idsOf(model, isHeld))
}

function idsOf(model: StoreModel, wanted: (operation: Operation) => boolean): string[] {
  return model
    .all()
    .filter(wanted)
    .map(({ id }) => id)
    .sort()
}

function stateOf({ status }: Operation) {
  return isFinal(status) ? status : 'unfinished'
}

async function assertSameQueue(store: Store, model: StoreModel, type: string): Promise<void> {
  expect(await store.queueStats(type)).toEqual(model.queue(type))
}

async function assertSameLists(store: Store, model: StoreModel, by: CommandsOptions['listsBy']): Promise<void> {
  for (const type of TYPES) {
    for (const owner of OWNERS) {
      const mine = model.all().filter(it => it.type === type && it.owner === owner)
      const ids = mine.map(({ id }) => id)
      const expected = by === 'id' ? ids.sort() : ids
      expect((await store.list({ type, owner, limit: 1000 })).map(({ id }) => id)).toEqual(expected.reverse())
    }
  }
}

function isHeld({ status, execution }: Operation): boolean {
  return status === 'running' || (status === 'pending' && execution !== null)
}

function inOrder({ expired, purged }: SweepResult): SweepResult {
  return { expired: [...expired].sort((a, b) => (a.id < b.id ? -1 : 1)), purged: [...purged].sort() }
}

/** An answer as it is compared: a time to wait for that has passed is none, whether or not anyone has noticed. */
function seen(answer: unknown, now: number): unknown {
  if (Array.isArray(answer)) return answer.map(it => seen(it, now))
  if (typeof answer !== 'object' || answer === null) return answer
  if ('operation' in answer) return { ...answer, operation: seen((answer as Claim).operation, now) }
  if (!('runAt' in answer)) return answer
  const operation = answer as Operation
  return { ...operation, runAt: operation.runAt !== null && operation.runAt <= now ? null : operation.runAt }
}
