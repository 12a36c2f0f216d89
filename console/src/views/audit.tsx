/** What operators did: who, when, what, and to how many. */
import { useSignal } from '@preact/signals'
import { get } from '../api.ts'
import { count, instant } from '../format.ts'
import { useLive } from '../live.ts'
import { Button, Empty } from '../parts/basics.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { filterLink } from '../router.ts'
import type { AuditEntry } from '../wire.ts'

const COLUMNS: readonly Column[] = [
  { name: 'When' },
  { name: 'Who' },
  { name: 'What' },
  { name: 'To' },
  { name: 'Operations', isNumber: true },
]

interface AuditPage {
  readonly items: readonly AuditEntry[]
  readonly next?: string
}

export function Audit() {
  const { data } = useLive<AuditPage>('audit?limit=100')
  const older = useSignal<AuditPage | undefined>(undefined)
  const next = older.value === undefined ? data?.next : older.value.next
  const more = async () => {
    const page = await get<AuditPage>(`audit?limit=100&after=${encodeURIComponent(next ?? '')}`)
    older.value = { ...page, items: [...(older.value?.items ?? []), ...page.items] }
  }
  const known = new Set(data?.items.map(({ id }) => id))
  const items = [...(data?.items ?? []), ...(older.value?.items.filter(({ id }) => !known.has(id)) ?? [])]
  return (
    <>
      <header class="top">
        <h1>Audit</h1>
      </header>
      {data !== undefined && items.length === 0 && <Empty>No operator has changed anything yet.</Empty>}
      {items.length > 0 && (
        <Table columns={COLUMNS}>
          {items.map(it => (
            <tr key={it.id}>
              <td class="number">{instant(it.at)}</td>
              <td>{it.actor}</td>
              <td>{it.action}</td>
              <td>
                <Target entry={it} />
                {it.detail !== null && <span class="note"> {it.detail}</span>}
              </td>
              <td class="number right">{count(it.count)}</td>
            </tr>
          ))}
        </Table>
      )}
      {next !== undefined && (
        <div class="end">
          <Button onClick={() => void more()}>Show older</Button>
        </div>
      )}
    </>
  )
}

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function Target({ entry: { id, target, action, selected } }: { readonly entry: AuditEntry }) {
  if (selected !== null) return <a href={`operations/${id}`}>{count(selected)} selected</a>
  if (ID.test(target)) {
    return (
      <a class="mono" href={`operations/${target}`}>
        {target}
      </a>
    )
  }
  if (!action.startsWith('bulk')) return <span class="mono">{target}</span>
  return (
    <a class="mono" href={filterLink(target)}>
      {target === '' ? 'every operation' : target}
    </a>
  )
}
