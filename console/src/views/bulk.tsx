/** Bulk runs: how far each is, and what it did. */

import { isFinal } from '../../../src/model/protocol.ts'
import { formatFilter } from '../../../src/operator/filter.ts'
import { change, mayChange } from '../api.ts'
import { count } from '../format.ts'
import { useLive } from '../live.ts'
import { Ago, Button, Empty, Status } from '../parts/basics.tsx'
import { perform } from '../parts/notices.tsx'
import { filterLink } from '../router.ts'
import type { BulkRun } from '../wire.ts'

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
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Status</th>
                <th scope="col">Action</th>
                <th scope="col">Operations</th>
                <th scope="col" class="right">
                  Done
                </th>
                <th scope="col" class="right">
                  Skipped
                </th>
                <th scope="col" class="right">
                  Failed
                </th>
                <th scope="col">By</th>
                <th scope="col" class="right">
                  Started
                </th>
                <th>
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.items.map(run => (
                <Run key={run.id} run={run} reload={reload} />
              ))}
            </tbody>
          </table>
        </div>
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
