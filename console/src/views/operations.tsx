/** The list of operations: a filter in the URL, columns, and actions on some or on all that match. */
import { type Signal, useSignal } from '@preact/signals'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { isFinal, STATUSES } from '../../../src/model/protocol.ts'
import { FILTER_NAMES, FilterError, parseFilter } from '../../../src/operator/filter.ts'
import { change, mayChange } from '../api.ts'
import { count } from '../format.ts'
import { useLive } from '../live.ts'
import { Button, Empty } from '../parts/basics.tsx'
import { Icon } from '../parts/icons.tsx'
import { notify, perform } from '../parts/notices.tsx'
import { TableHead } from '../parts/table.tsx'
import { filterLink, navigate, place } from '../router.ts'
import type { BulkAction, BulkRun } from '../wire.ts'
import { BulkDialog } from './bulk-dialog.tsx'
import { ColumnChoice, shownColumns } from './columns.tsx'
import { useList } from './list.ts'

export function Operations() {
  const filter = place.value.query.get('filter') ?? ''
  const target = useMemo(() => ({ filter }), [filter])
  const isBulkOpen = useSignal(false)
  return (
    <>
      <header class="top">
        <h1>Operations</h1>
        <details class="menu">
          <summary class="button quiet">
            <Icon name="columns" />
            Columns
          </summary>
          <ColumnChoice />
        </details>
        {mayChange() && (
          <Button
            icon="bulk"
            onClick={() => {
              isBulkOpen.value = true
            }}
          >
            All that match…
          </Button>
        )}
      </header>
      <FilterField filter={filter} />
      <OperationList key={filter} filter={filter} />
      {isBulkOpen.value && (
        <BulkDialog
          target={target}
          first="retry"
          onStart={() => navigate('bulk')}
          onClose={() => {
            isBulkOpen.value = false
          }}
        />
      )}
    </>
  )
}

/** Time to type a word before the list follows. */
const SETTLE_MS = 350

function FilterField({ filter }: { readonly filter: string }) {
  const draft = useSignal(filter)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    // The input field changes first, and the URL follows.
    if (document.activeElement !== field.current) draft.value = filter
  }, [filter])
  // A term whose value is not typed yet is not an error.
  const error = errorOf(draft.value.replace(/(?:^|\s)[A-Za-z]+:$/, ''))
  const apply = (text: string, replace: boolean) => {
    draft.value = text
    if (errorOf(text) === undefined) navigate(filterLink(text.trim()), { replace })
  }
  const timer = useRef(0)
  const status = /(?:^|\s)status:(\S+)/.exec(filter)?.[1]
  const withStatus = (wanted: string | undefined) =>
    [wanted && `status:${wanted}`, filter.replace(/(^|\s)status:\S+/, ' ').trim()].filter(Boolean).join(' ')
  return (
    <search class="filters">
      <div class={`field ${error === undefined ? '' : 'wrong'}`}>
        <Icon name="search" />
        <input
          ref={field}
          id="filter"
          type="text"
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          aria-label="Filter"
          aria-invalid={error !== undefined}
          aria-describedby="filter-help"
          placeholder="type:orders tag:customer=Ada since:2h, or words to search for"
          value={draft.value}
          onInput={event => {
            const { value } = event.currentTarget
            draft.value = value
            clearTimeout(timer.current)
            timer.current = window.setTimeout(() => apply(value, true), SETTLE_MS)
          }}
          onKeyDown={event => {
            if (event.key === 'Enter') {
              clearTimeout(timer.current)
              apply(event.currentTarget.value, false)
            }
            if (event.key === 'Escape') event.currentTarget.blur()
          }}
        />
        {draft.value !== '' && (
          <Button icon="cancel" label="Clear the filter" kind="quiet" onClick={() => apply('', false)} />
        )}
        <kbd>/</kbd>
      </div>
      <p id="filter-help" class={error === undefined ? 'help' : 'help refusal'}>
        {error ??
          FILTER_NAMES.map(name => (
            <button
              key={name}
              type="button"
              class="term"
              onClick={() => {
                draft.value = `${draft.value.trim()} ${name}:`.trim()
                field.current?.focus()
              }}
            >
              {name}:
            </button>
          ))}
      </p>
      <nav class="chips" aria-label="Status">
        {[undefined, ...STATUSES].map(it => (
          <a
            key={it ?? 'all'}
            href={filterLink(withStatus(it))}
            aria-current={status === it ? 'true' : undefined}
            data-status={it}
          >
            {it !== undefined && <span class="dot" aria-hidden="true" />}
            {it ?? 'all'}
          </a>
        ))}
      </nav>
    </search>
  )
}

/** The error in the text of a filter. */
function errorOf(text: string): string | undefined {
  try {
    parseFilter(text)
    return undefined
  } catch (error) {
    if (error instanceof FilterError) return error.message
    throw error
  }
}

function OperationList({ filter }: { readonly filter: string }) {
  const pages = useList(filter)
  const selected = useSignal<ReadonlySet<string>>(new Set())
  return (
    <>
      <Rows filter={filter} pages={pages} selected={selected} />
      <OnSelection selected={selected} onEnd={() => void pages.refresh(true)} />
    </>
  )
}

function Rows(props: {
  readonly filter: string
  readonly pages: ReturnType<typeof useList>
  readonly selected: Signal<ReadonlySet<string>>
}) {
  const { filter, selected } = props
  const { list, more, refresh } = props.pages
  const columns = shownColumns()
  const { items, newer, next, state, refusal } = list
  const toggle = (ids: readonly string[], isOn: boolean) => {
    const chosen = new Set(selected.value)
    for (const id of ids) isOn ? chosen.add(id) : chosen.delete(id)
    selected.value = chosen
  }
  if (refusal !== undefined && items.length === 0) return <p class="refusal">{refusal.message}</p>
  if (items.length === 0 && state === 'ready') {
    return (
      <Empty>
        {filter === '' ? 'Nothing has been accepted yet.' : 'No operation fits.'}
        {list.scanned > 0 && ` ${count(list.scanned)} were looked at.`}
      </Empty>
    )
  }
  const canSelect = mayChange()
  const areAllSelected = items.length > 0 && items.every(({ id }) => selected.value.has(id))
  return (
    <>
      <button
        type="button"
        class="newer"
        hidden={newer === 0}
        onClick={() => {
          scrollTo(0, 0)
          void refresh(true)
        }}
      >
        {count(newer)} new
      </button>
      <div class="scroll list">
        <table class="operations" aria-busy={state === 'loading'}>
          <TableHead
            columns={columns}
            first={
              canSelect && (
                <th class="check">
                  <input
                    type="checkbox"
                    aria-label="Select all that are listed"
                    checked={areAllSelected}
                    onChange={event =>
                      toggle(
                        items.map(({ id }) => id),
                        event.currentTarget.checked,
                      )
                    }
                  />
                </th>
              )
            }
          />
          <tbody>
            {items.map(it => (
              <tr key={it.id} data-row={it.id} class={selected.value.has(it.id) ? 'selected' : ''}>
                {canSelect && (
                  <td class="check">
                    <input
                      type="checkbox"
                      aria-label={`Select ${it.id}`}
                      checked={selected.value.has(it.id)}
                      onChange={event => toggle([it.id], event.currentTarget.checked)}
                    />
                  </td>
                )}
                {columns.map(({ name, isNumber, cell }) => (
                  <td key={name} data-column={name} class={isNumber ? 'number right' : ''}>
                    {cell(it)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <End
        // Another element below the first rows: one that they push down would jump.
        key={items.length === 0 ? 'first' : 'further'}
        text={`${count(items.length)} of ${count(list.scanned)} looked at`}
        isLoading={state === 'loading'}
        isPaused={state === 'paused'}
        hasMore={next !== undefined}
        more={more}
      />
    </>
  )
}

/** The action on the selected operations: chosen, previewed, and then followed as one bulk run. */
function OnSelection({
  selected,
  onEnd,
}: {
  readonly selected: Signal<ReadonlySet<string>>
  readonly onEnd: () => void
}) {
  const asked = useSignal<BulkAction | undefined>(undefined)
  const started = useSignal<BulkRun | undefined>(undefined)
  const target = useMemo(() => ({ ids: [...selected.value] }), [selected.value])
  const clear = () => {
    selected.value = new Set()
  }
  if (started.value !== undefined) {
    return (
      <RunBar
        started={started.value}
        onEnd={() => {
          started.value = undefined
          onEnd()
        }}
      />
    )
  }
  if (selected.value.size === 0) return null
  return (
    <>
      <SelectionBar
        ids={selected.value}
        onClear={clear}
        onAct={action => {
          asked.value = action
        }}
      />
      {asked.value !== undefined && (
        <BulkDialog
          target={target}
          first={asked.value}
          onStart={run => {
            started.value = run
            clear()
          }}
          onClose={() => {
            asked.value = undefined
          }}
        />
      )}
    </>
  )
}

/** The end of the list: loads more when it is seen. */
function End(props: {
  readonly text: string
  readonly isLoading: boolean
  readonly isPaused: boolean
  readonly hasMore: boolean
  readonly more: () => Promise<void>
}) {
  const { text, isLoading, isPaused, hasMore, more } = props
  const end = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (!hasMore || isPaused || isLoading || end.current === null) return undefined
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) void more()
      },
      { rootMargin: '600px' },
    )
    observer.observe(end.current)
    return () => observer.disconnect()
  }, [hasMore, isPaused, isLoading, more, text])
  return (
    <div ref={end} class="end note number">
      <span>{isLoading ? 'Looking…' : hasMore ? text : `${text}. That is all.`}</span>
      {hasMore && isPaused && <Button onClick={() => void more()}>Look further</Button>}
    </div>
  )
}

/** The consequences of a deletion. */
export const DELETION = {
  text: 'Inputs, results, steps and logs go for good. Clients are answered with 410.',
  verb: 'Delete',
}

/** The most operations that one bulk run takes by their ids. */
const MAX_SELECTED = 1000

function SelectionBar({
  ids,
  onAct,
  onClear,
}: {
  readonly ids: ReadonlySet<string>
  readonly onAct: (action: BulkAction) => void
  readonly onClear: () => void
}) {
  const isTooLarge = ids.size > MAX_SELECTED
  return (
    <div class="selection" role="toolbar" aria-label="The selected operations">
      <strong class="number">
        {count(ids.size)} selected{isTooLarge && `, ${count(MAX_SELECTED)} at most`}
      </strong>
      <Button icon="retry" onClick={() => onAct('retry')} disabled={isTooLarge}>
        Retry
      </Button>
      <Button icon="cancel" onClick={() => onAct('cancel')} disabled={isTooLarge}>
        Cancel
      </Button>
      <Button icon="trash" kind="danger" onClick={() => onAct('delete')} disabled={isTooLarge}>
        Delete
      </Button>
      <Button kind="quiet" onClick={onClear}>
        Clear
      </Button>
    </div>
  )
}

const DOING: Readonly<Record<BulkAction, readonly [now: string, then: string]>> = {
  retry: ['Retrying', 'retried'],
  cancel: ['Canceling', 'canceled, or asked to stop'],
  delete: ['Deleting', 'deleted'],
  replay: ['Sending webhooks of', 'with their webhook sent again'],
}

/** How far a bulk run on a selection is, until it has ended. */
function RunBar({ started, onEnd }: { readonly started: BulkRun; readonly onEnd: () => void }) {
  const { data: run = started, reload } = useLive<BulkRun>(`bulk/${started.id}`)
  const { id, action, status, selected, done, skipped, failed } = run
  const [now, then] = DOING[action]
  useEffect(() => {
    if (!isFinal(status)) return
    const rest = [skipped > 0 && `, ${count(skipped)} did not fit`, failed > 0 && `, ${count(failed)} failed`]
    notify(`${count(done)} ${then}${rest.filter(Boolean).join('')}.`, done === 0)
    onEnd()
  }, [status])
  const cancel = async () => {
    await perform(() => change('POST', `bulk/${id}/cancel`), 'Asked to stop.')
    await reload()
  }
  const of = selected ?? 0
  return (
    <div class="selection" role="toolbar" aria-label="The bulk run">
      <strong class="number">
        {now} {count(done + skipped + failed)} of {count(of)}
      </strong>
      <progress value={done + skipped + failed} max={of} aria-label={now} />
      <Button icon="cancel" onClick={() => void cancel()}>
        Stop
      </Button>
    </div>
  )
}
