/** The columns of the list of operations, and which of them are shown. */
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { duration } from '../format.ts'
import { Ago, IdLink, OperationStatus, Progress, Since, Tags } from '../parts/basics.tsx'
import type { Column } from '../parts/table.tsx'
import type { OperationView } from '../wire.ts'

interface ListColumn extends Column {
  readonly isShown: boolean
  readonly cell: (operation: OperationView) => ComponentChildren
}

const COLUMNS: readonly ListColumn[] = [
  { name: 'Status', isShown: true, cell: it => <OperationStatus operation={it} /> },
  { name: 'Operation', isShown: true, cell: it => <IdLink id={it.id} /> },
  { name: 'Type', isShown: true, cell: it => it.type },
  { name: 'Note', isShown: true, cell: it => <Note operation={it} /> },
  { name: 'Tags', isShown: true, cell: it => <Tags tags={it.tags} /> },
  { name: 'Owner', isShown: false, cell: it => it.owner },
  { name: 'Key', isShown: false, cell: it => <code>{it.idempotencyKey}</code> },
  { name: 'Worker', isShown: false, cell: it => <code>{it.holder}</code> },
  { name: 'Execution', isShown: false, cell: it => <code>{it.execution}</code> },
  { name: 'Priority', isShown: false, isNumber: true, cell: it => it.priority },
  {
    name: 'Attempt',
    isShown: true,
    isNumber: true,
    cell: it => (it.attempt === 0 ? '–' : `${it.attempt}/${it.maxAttempts}`),
  },
  { name: 'Took', isShown: true, isNumber: true, cell: it => <Took operation={it} /> },
  { name: 'Accepted', isShown: true, isNumber: true, cell: it => <Ago at={it.createdAt} /> },
]

const STORED = 'waybill.columns'

const shownNames = signal<readonly string[]>(read())

/** The columns that are shown, in their order. */
export function shownColumns(): readonly ListColumn[] {
  return COLUMNS.filter(({ name }) => shownNames.value.includes(name))
}

export function ColumnChoice() {
  const toggle = (name: string) => {
    const { value } = shownNames
    shownNames.value = value.includes(name) ? value.filter(it => it !== name) : [...value, name]
    localStorage.setItem(STORED, JSON.stringify(shownNames.value))
  }
  return (
    <ul class="choices">
      {COLUMNS.filter(({ name }) => name !== 'Operation').map(({ name }) => (
        <li key={name}>
          <label>
            <input type="checkbox" checked={shownNames.value.includes(name)} onChange={() => toggle(name)} />
            {name}
          </label>
        </li>
      ))}
    </ul>
  )
}

function read(): readonly string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORED) ?? '')
    if (Array.isArray(stored)) return ['Operation', ...stored.filter(it => typeof it === 'string')]
  } catch {
    // Nothing was chosen yet.
  }
  return COLUMNS.filter(it => it.isShown).map(({ name }) => name)
}

const WAITS_FOR = {
  time: 'sleeps:',
  event: 'waits for the event',
  input: 'asks:',
  children: 'waits for children:',
} as const

/** A short remark on the operation. */
function Note({ operation }: { readonly operation: OperationView }) {
  const { status, error, runAt, retriedBy, waits } = operation
  if (retriedBy !== null) {
    return (
      <span class="note">
        retried by <IdLink id={retriedBy} />
      </span>
    )
  }
  if (error !== null && status === 'failed') return <span title={error.detail ?? error.title}>{error.title}</span>
  const wait = waits.find(({ kind }) => kind === 'input') ?? waits[0]
  if (wait !== undefined) {
    return (
      <span class="note">
        {WAITS_FOR[wait.kind]} {wait.name}
        {waits.length > 1 && `, and ${waits.length - 1} more`}
      </span>
    )
  }
  if (status === 'pending' && runAt !== null) {
    return <span class="note">due {new Date(runAt).toLocaleTimeString('en', { hourCycle: 'h23' })}</span>
  }
  return <Progress operation={operation} />
}

/** From the first attempt to the end. */
function Took({ operation: { startedAt, finishedAt } }: { readonly operation: OperationView }) {
  if (startedAt === null) return <span class="note">–</span>
  return finishedAt === null ? <Since at={startedAt} /> : <span>{duration(finishedAt - startedAt)}</span>
}
