/** What the handler of an operation waits for, since when and until when; questions are answered here. */
import { useSignal } from '@preact/signals'
import { NEVER_DUE } from '../../../src/model/waits.ts'
import { change, mayChange, Refusal } from '../api.ts'
import { duration, instant } from '../format.ts'
import { now, Section, Since } from '../parts/basics.tsx'
import { Icon, type IconName } from '../parts/icons.tsx'
import { notify } from '../parts/notices.tsx'
import { SchemaForm } from '../parts/schema-form.tsx'
import type { OperationDetail, Problem } from '../wire.ts'

type Wait = OperationDetail['waits'][number]

/** Waits that a person can answer come first. */
const ORDER: readonly Wait['kind'][] = ['input', 'event', 'children', 'time']

const KINDS: Readonly<Record<Wait['kind'], readonly [name: string, icon: IconName]>> = {
  time: ['Sleep', 'clock'],
  event: ['Event', 'event'],
  input: ['Question', 'question'],
  children: ['Children', 'children'],
}

export function Waits({
  operation,
  reload,
}: {
  readonly operation: OperationDetail
  readonly reload: () => Promise<void>
}) {
  const { id, waits, attempts } = operation
  if (waits.length === 0) return null
  const last = attempts.at(-1)
  const since = last !== undefined && 'finishedAt' in last ? last.finishedAt : operation.updatedAt
  return (
    <Section
      title="Waits for"
      note={
        <>
          for <Since at={since} />, since <span class="number">{instant(since)}</span>
        </>
      }
    >
      <ul class="waits">
        {waits
          .toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))
          .map(wait => (
            <li key={wait.name}>
              <p class="head">
                <Kind kind={wait.kind} />
                <code>{wait.name}</code>
                {wait.kind !== 'children' && <Until wait={wait} />}
              </p>
              {wait.message !== undefined && <p class="message">{wait.message}</p>}
              {(wait.kind === 'event' || wait.kind === 'input') && mayChange() && (
                <Answer id={id} wait={wait} reload={reload} />
              )}
            </li>
          ))}
      </ul>
    </Section>
  )
}

function Kind({ kind }: Pick<Wait, 'kind'>) {
  const [name, icon] = KINDS[kind]
  return (
    <>
      <Icon name={icon} />
      <span>{name}</span>
    </>
  )
}

function Until({ wait: { until } }: { readonly wait: Wait }) {
  if (until === null || until >= NEVER_DUE) return <span class="note">without an end</span>
  const left = until - now.value
  return (
    <span class="note">
      until <time dateTime={new Date(until).toISOString()}>{instant(until)}</time>
      {left > 0 && `, ${duration(left)} left`}
    </span>
  )
}

function Answer({
  id,
  wait,
  reload,
}: {
  readonly id: string
  readonly wait: Wait
  readonly reload: () => Promise<void>
}) {
  const isBusy = useSignal(false)
  const problem = useSignal<Problem | undefined>(undefined)
  const send = async (value: unknown) => {
    isBusy.value = true
    problem.value = undefined
    try {
      await change('POST', `operations/${id}/events/${encodeURIComponent(wait.name)}`, value)
      notify('Sent. The operation goes on.')
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      problem.value = error.problem
    }
    isBusy.value = false
    await reload()
  }
  return (
    <>
      <SchemaForm
        schema={wait.schema}
        verb={wait.kind === 'input' ? 'Answer' : 'Send the event'}
        isBusy={isBusy.value}
        onSubmit={value => void send(value)}
      />
      {problem.value !== undefined && <Refused problem={problem.value} />}
    </>
  )
}

function Refused({ problem: { title, detail, errors = [] } }: { readonly problem: Problem }) {
  return (
    <div class="refusal" role="alert">
      <p>{detail ?? title}</p>
      <ul>
        {errors.map(error => (
          <li key={error.pointer}>
            {error.pointer !== '' && <code>{error.pointer}</code>} {error.detail}
          </li>
        ))}
      </ul>
    </div>
  )
}
