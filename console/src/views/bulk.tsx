/** Bulk runs: how far each is, and what it did. */

import { isFinal } from '../../../src/model/protocol.ts'
import { formatFilter } from '../../../src/operator/filter.ts'
import { change, mayChange } from '../api.ts'
import { count } from '../format.ts'
import { useLive } from '../live.ts'
import { Ago, Button, Empty, Status } from '../parts/basics.tsx'
import { perform } from '../parts/notices.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { filterLink } from '../router.ts'
import type { BulkRun } from '../wire.ts'

const COLUMNS: readonly Column[] = [
  { name: 'Status' },
  { name: 'Action' },
  { name: 'Operations' },
  { name: 'Done', isNumber: true },
  { name: 'Skipped', isNumber: true },
  { name: 'Failed', isNumber: true },
  { name: 'By' },
  { name: 'Started', isNumber: true },
  { name: 'Actions', isNameless: true },
]

export function Bulk() {
  const { data, reload } = useLive<{ readonly items: readonly BulkRun[] }>('bulk')
  return (
    <>
      <header class="top">
        <h1>Bulk runs</h1>
      </header>
      {data?.items.length === 0 && (
        <Empty>
          None yet. In <a href="operations">Operations</a>, “All that match…” retries, cancels or deletes by a filter,
          and the same can be done to what is selected.
        </Empty>
      )}
      {data !== undefined && data.items.length > 0 && (
        <Table columns={COLUMNS}>
          {data.items.map(run => (
            <Run key={run.id} run={run} reload={reload} />
          ))}
        </Table>
      )}
    </>
  )
}

function Run({ run, reload }: { readonly run: BulkRun; readonly reload: () => Promise<void> }) {
  const { id, action, status, matched, done, skipped, failed, actor, createdAt } = run
  return (
    <tr>
      <td>
        <Status status={status} />
      </td>
      <td>
        <a href={`operations/${id}`}>{action}</a>
      </td>
      <td>
        <Target run={run} />
      </td>
      <td class="number right">
        {count(done)} of {count(run.selected ?? matched)}
      </td>
      <td class="number right">{count(skipped)}</td>
      <td class="number right">{count(failed)}</td>
      <td>{actor.name}</td>
      <td class="number right">
        <Ago at={createdAt} />
      </td>
      <td class="right">
        {mayChange() && !isFinal(status) && (
          <Button
            icon="cancel"
            label="Cancel the bulk run"
            onClick={() =>
              void perform(() => change('POST', `bulk/${id}/cancel`), 'Asked to stop.').then(() => reload())
            }
          />
        )}
      </td>
    </tr>
  )
}

/** What it acts on: those of a filter, or of a selection, whose ids its own record has. */
function Target({ run: { id, filter, selected } }: { readonly run: BulkRun }) {
  if (filter === null) return <a href={`operations/${id}`}>{count(selected ?? 0)} selected</a>
  const text = formatFilter(filter)
  return (
    <a class="mono" href={filterLink(text)}>
      {text === '' ? 'every operation' : text}
    </a>
  )
}
