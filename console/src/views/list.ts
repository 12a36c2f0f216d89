/** The list of operations: consecutive pages, with a first page that is kept up to date. */
import { useSignal, useSignalEffect } from '@preact/signals'
import { useCallback, useEffect, useRef } from 'preact/hooks'
import { get, Refusal } from '../api.ts'
import { connection, hints } from '../live.ts'
import type { OperationView, OperatorPage } from '../wire.ts'

const PAGE = 50
const MAX_PAGE = 500
/** A read may take at most this share of the time. */
const READ_SHARE = 10
const MIN_PACE_MS = 750
/** How many empty pages are read in a row before the user must confirm to continue. */
const MAX_EMPTY_PAGES = 20

export interface List {
  readonly items: readonly OperationView[]
  /** Newer operations that are not shown yet, so that the list does not move after scrolling. */
  readonly newer: number
  readonly next: string | undefined
  /** How many operations were read. */
  readonly scanned: number
  readonly state: 'loading' | 'ready' | 'paused'
  readonly refusal: Refusal | undefined
}

const FIRST: List = { items: [], newer: 0, next: undefined, scanned: 0, state: 'loading', refusal: undefined }

/** Lists the operations that fit a filter. */
export function useList(filter: string) {
  const list = useSignal<List>(FIRST)
  const run = useRef({ controller: new AbortController(), isBusy: false, readyAt: 0, timer: 0 })

  const read = useCallback(
    async (query: { after?: string; limit: number }, merge: (now: List, page: OperatorPage) => List) => {
      const { controller } = run.current
      const begun = performance.now()
      const parameters = new URLSearchParams({
        filter,
        limit: `${query.limit}`,
        ...(query.after && { after: query.after }),
      })
      try {
        const page = await get<OperatorPage>(`operations?${parameters}`, controller.signal)
        if (!controller.signal.aborted) list.value = { ...merge(list.value, page), refusal: undefined }
      } catch (error) {
        if (controller.signal.aborted || !(error instanceof Refusal)) return
        if (error.isAway) connection.value = 'away'
        list.value = { ...list.value, state: 'paused', refusal: error.isAway ? undefined : error }
      }
      run.current.readyAt = performance.now() + Math.max(MIN_PACE_MS, (performance.now() - begun) * READ_SHARE)
    },
    [filter],
  )

  const more = useCallback(async () => {
    const it = run.current
    if (it.isBusy) return
    it.isBusy = true
    list.value = { ...list.value, state: 'loading' }
    for (let page = 0; page < MAX_EMPTY_PAGES; page++) {
      const { length } = list.value.items
      const { next: after } = list.value
      await read({ limit: PAGE, ...(after !== undefined && { after }) }, append)
      if (it !== run.current) return
      if (list.value.state === 'paused') break
      if (list.value.items.length > length || list.value.next === undefined) {
        list.value = { ...list.value, state: 'ready' }
        break
      }
    }
    if (list.value.state === 'loading') list.value = { ...list.value, state: 'paused' }
    it.isBusy = false
  }, [read])

  const refresh = useCallback(
    async (isAtTop: boolean) => {
      if (run.current.isBusy) return
      const limit = Math.min(MAX_PAGE, Math.max(PAGE, list.value.items.length))
      await read({ limit }, (now, page) => withHead(now, page, isAtTop))
    },
    [read],
  )

  useEffect(() => {
    run.current = { controller: new AbortController(), isBusy: false, readyAt: 0, timer: 0 }
    const { current } = run
    list.value = { ...FIRST, items: [] }
    void more()
    return () => {
      current.controller.abort()
      clearTimeout(current.timer)
    }
  }, [more])

  const seen = useRef(hints.peek())
  useSignalEffect(() => {
    if (hints.value === seen.current) return
    seen.current = hints.value
    const it = run.current
    if (it.timer !== 0) return
    it.timer = window.setTimeout(
      () => {
        it.timer = 0
        if (!document.hidden && it === run.current) void refresh(scrollY < 200)
      },
      Math.max(0, it.readyAt - performance.now()),
    )
  })

  return { list: list.value, more, refresh }
}

function append(now: List, { items, next, scanned }: OperatorPage): List {
  const known = new Set(now.items.map(({ id }) => id))
  const added = items.filter(({ id }) => !known.has(id))
  return { ...now, items: [...now.items, ...added], next, scanned: now.scanned + scanned }
}

/** Replaces the range of the newest page: operations that no longer match the filter disappear. */
function withHead(now: List, { items, next, scanned }: OperatorPage, isAtTop: boolean): List {
  const end = next === undefined ? undefined : (items.at(-1)?.id ?? next)
  const older = end === undefined ? [] : now.items.filter(({ id }) => id < end)
  const first = now.items[0]?.id
  const held = isAtTop || first === undefined ? [] : items.filter(({ id }) => id > first)
  const all = [...items.slice(held.length), ...older]
  const isLonger = older.length > 0
  return {
    ...now,
    items: all,
    newer: held.length,
    next: isLonger ? now.next : next,
    scanned: isLonger ? now.scanned : scanned,
  }
}
