/** The operations that the handler of another one has submitted: how many of each state, and which. */
import { useSignal } from '@preact/signals'
import { apiUrl, get, Refusal } from '../api.ts'
import { count } from '../format.ts'
import { useLive } from '../live.ts'
import { Ago, Button, Copy, IdLink, OperationStatus, Section } from '../parts/basics.tsx'
import { notify } from '../parts/notices.tsx'
import type { ChildrenPage, ChildState, OperationDetail, OperationView, ResultsPage } from '../wire.ts'

const STATES: readonly ChildState[] = ['unfinished', 'completed', 'failed', 'canceled']
const PAGE = 50
/** Beside the states of a batch: its results in the order of the input. */
const ALL = 'results'
const BATCH_STATES = [...STATES, ALL] as const

type Counts = NonNullable<OperationDetail['children']>

/** Whether an operation is a batch, whose children are its items. */
export function isBatch({ type }: Pick<OperationView, 'type'>): boolean {
  return type.endsWith('/batches')
}

export function Children({ operation }: { readonly operation: OperationDetail }) {
  const { id, type, children } = operation
  const chosen = useSignal<ChildState | typeof ALL | undefined>(undefined)
  if (children === null || children.total === 0) return null
  const state = chosen.value ?? firstOf(children)
  return (
    <Section
      title={isBatch(operation) ? 'Items' : 'Children'}
      note={<Summary counts={children} />}
      actions={
        isBatch(operation) && (
          <Copy
            text={() => `curl ${apiUrl(`${type}/${id}/results`)}`}
            label="Copy as curl: the results"
            icon="terminal"
          >
            Results
          </Copy>
        )
      }
    >
      <fieldset class="segments">
        <legend class="hidden">State</legend>
        {(isBatch(operation) ? BATCH_STATES : STATES).map(it => (
          <label key={it}>
            <input
              type="radio"
              name="children"
              checked={it === state}
              onChange={() => {
                chosen.value = it
              }}
            />
            <span class="number">{it === ALL ? 'results' : `${it} ${count(children[it])}`}</span>
          </label>
        ))}
      </fieldset>
      {state === ALL ? (
        <List<ResultsPage> path={`operations/${encodeURIComponent(id)}/results`} count={children.total} row={Result} />
      ) : (
        <List<ChildrenPage>
          key={state}
          path={`operations/${encodeURIComponent(id)}/children?state=${state}`}
          count={children[state]}
          row={Child}
        />
      )}
    </Section>
  )
}

/** The state to show first: the failed ones, or else the unfinished ones. */
function firstOf({ failed, unfinished }: Counts): ChildState {
  if (failed > 0) return 'failed'
  return unfinished > 0 ? 'unfinished' : 'completed'
}

function Summary({ counts: { total, unfinished } }: { readonly counts: Counts }) {
  const ended = total - unfinished
  return (
    <span class="progress">
      <progress value={ended} max={total} aria-label="Children that have ended" />
      <span class="number">
        {count(ended)} of {count(total)}
      </span>
    </span>
  )
}

interface Page<Item> {
  readonly items: readonly Item[]
  readonly next?: string | undefined
}

/** A list whose first page is live; a button loads more. */
function List<P extends Page<{ readonly id: string }>>({
  path,
  count: expected,
  row: Row,
}: {
  readonly path: string
  /** How many there are, to reserve their space until they are loaded. */
  readonly count: number
  readonly row: (props: { readonly child: P['items'][number] }) => preact.JSX.Element
}) {
  const first = `${path}${path.includes('?') ? '&' : '?'}limit=${PAGE}`
  const { data } = useLive<P>(first)
  const more = useSignal<Page<P['items'][number]>>({ items: [] })
  if (data === undefined) {
    const lines = Array.from({ length: Math.min(expected, PAGE) }, (_, at) => <li key={at}>&nbsp;</li>)
    return (
      <ul class="sample children" aria-hidden="true">
        {lines}
      </ul>
    )
  }
  const shown = new Set(data.items.map(child => child.id))
  const items = [...data.items, ...more.value.items.filter(child => !shown.has(child.id))]
  const next = more.value.items.length === 0 ? data.next : more.value.next
  const load = async () => {
    try {
      const page = await get<P>(`${first}&after=${encodeURIComponent(next ?? '')}`)
      more.value = { items: [...more.value.items, ...page.items], next: page.next }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      notify(error.message, true)
    }
  }
  return (
    <>
      <ul class="sample children">
        {items.map(child => (
          <Row key={child.id} child={child} />
        ))}
      </ul>
      {next !== undefined && <Button onClick={() => void load()}>Show more</Button>}
    </>
  )
}

/** Longer results are read on the page of the item. */
const SHOWN_OUTPUT = 200

function Result({ child }: { readonly child: ResultsPage['items'][number] }) {
  const { index, output, error } = child
  return (
    <li>
      <OperationStatus operation={child} />
      <IdLink id={child.id} />
      <span>{error === null ? <code>{output?.slice(0, SHOWN_OUTPUT) ?? '–'}</code> : error.title}</span>
      <span class="number note" title="The place in the input">
        {count(index + 1)}
      </span>
    </li>
  )
}

function Child({ child }: { readonly child: OperationView }) {
  return (
    <li>
      <OperationStatus operation={child} />
      <IdLink id={child.id} />
      <span>{child.error === null ? child.type : `${child.type}: ${child.error.title}`}</span>
      <Ago at={child.createdAt} />
    </li>
  )
}
