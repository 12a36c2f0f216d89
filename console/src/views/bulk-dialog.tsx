/** An action on many operations, which fit a filter or are selected: counted and shown first, then done by the server. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { passedOverText } from '../../../src/operator/pass-reasons.ts'
import { change, Refusal } from '../api.ts'
import { count } from '../format.ts'
import { Ago, IdLink, OperationStatus } from '../parts/basics.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { perform } from '../parts/notices.tsx'
import type { BulkAction, BulkPreview, BulkRun } from '../wire.ts'

const ACTIONS: Readonly<Record<BulkAction, { readonly verb: string; readonly effect: string }>> = {
  retry: {
    verb: 'Retry',
    effect: 'Each that has failed or was canceled is run again, as a new operation; so is a batch with failed items.',
  },
  cancel: { verb: 'Cancel', effect: 'What is pending ends at once; what runs is asked to stop.' },
  replay: {
    verb: 'Send webhooks',
    effect: 'The webhook of each is sent again. A filter for type:webhook-deliveries takes failed deliveries.',
  },
  delete: { verb: 'Delete', effect: 'Inputs, results, steps and logs of what has ended go for good.' },
}

/** The text of a filter, or the ids of a selection, as the admin API takes them. */
export type BulkTarget = { readonly filter: string } | { readonly ids: readonly string[] }

export function BulkDialog(props: {
  readonly target: BulkTarget
  readonly first: BulkAction
  readonly onClose: () => void
  readonly onStart: (run: BulkRun) => void
}) {
  const { target, first, onClose, onStart } = props
  const action = useSignal<BulkAction>(first)
  const preview = useSignal<BulkPreview | Refusal | undefined>(undefined)
  useEffect(() => {
    let isCurrent = true
    preview.value = undefined
    const body = { action: action.value, ...target }
    void change<BulkPreview>('POST', 'bulk/preview', body)
      .catch(error => {
        if (error instanceof Refusal) return error
        throw error
      })
      .then(found => {
        if (isCurrent) preview.value = found
      })
    return () => {
      isCurrent = false
    }
  }, [action.value, target])

  const start = async () => {
    const body = { action: action.value, ...target }
    await perform(async () => {
      const run = await change<BulkRun>('POST', 'bulk', body)
      onClose()
      onStart(run)
    }, 'Started.')
  }
  const found = preview.value
  const { verb, effect } = ACTIONS[action.value]
  const number = found === undefined || found instanceof Refusal ? undefined : found.count
  const passed = found === undefined || found instanceof Refusal ? undefined : passedOverText(found.passedOver, count)
  // Where not all were looked at, there may be some among the others.
  const isAll = found === undefined || found instanceof Refusal || found.complete
  const isRefused = number === undefined || (number === 0 && isAll)
  return (
    <Dialog
      title={'ids' in target ? 'The selected operations' : 'All that match'}
      onClose={onClose}
      actions={
        <button
          type="button"
          class={`button ${action.value === 'retry' ? 'primary' : 'danger'}`}
          disabled={isRefused}
          onClick={() => void start()}
        >
          {verb} {number === undefined ? '' : amount(number, isAll)}
        </button>
      }
    >
      <p>
        {'ids' in target ? (
          `${count(target.ids.length)} selected`
        ) : (
          <code class="filter">{target.filter === '' ? 'every operation' : target.filter}</code>
        )}
      </p>
      <fieldset class="segments">
        <legend class="hidden">Action</legend>
        {(['retry', 'cancel', 'replay', 'delete'] as const).map(it => (
          <label key={it}>
            <input
              type="radio"
              name="action"
              checked={it === action.value}
              onChange={() => {
                action.value = it
              }}
            />
            <span>{ACTIONS[it].verb}</span>
          </label>
        ))}
      </fieldset>
      <p class="note">{effect}</p>
      <div class="preview" aria-live="polite" aria-busy={found === undefined}>
        {found instanceof Refusal && <p class="refusal">{found.message}</p>}
        {number !== undefined && (
          <p>
            <strong class="number">{count(number)}</strong> {number === 1 ? 'operation fits' : 'operations fit'}
            {isAll ? '.' : ' of those looked at so far; there may be more.'}
          </p>
        )}
        {passed !== undefined && <p class="note">{passed}</p>}
        {found !== undefined && !(found instanceof Refusal) && (
          <ul class="sample">
            {found.sample.map(it => (
              <li key={it.id}>
                <OperationStatus operation={it} />
                <IdLink id={it.id} />
                <span>{it.type}</span>
                <Ago at={it.createdAt} />
              </li>
            ))}
          </ul>
        )}
      </div>
    </Dialog>
  )
}

/** How many a bulk run is for. Where not all were looked at, there may be more. */
function amount(number: number, isAll: boolean): string {
  if (isAll) return count(number)
  return number === 0 ? 'all that fit' : `all, at least ${count(number)}`
}
