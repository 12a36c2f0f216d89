/** Which view is shown: the path below the console, and the query. */
import { signal } from '@preact/signals'

/** A place in the console. */
export interface Place {
  /** `operations/01…`; empty for the overview. */
  readonly path: string
  readonly query: URLSearchParams
}

const ROOT = new URL(document.baseURI)

export const place = signal<Place>(read())

/** Goes to a path below the console. */
export function navigate(to: string, { replace = false } = {}): void {
  const url = new URL(to, ROOT)
  if (url.href === location.href) return
  if (replace) history.replaceState(null, '', url)
  else history.pushState(null, '', url)
  place.value = read()
  if (!replace) scrollTo(0, 0)
}

/** Follows links of the console without loading the page again. */
export function followLinks(): void {
  addEventListener('popstate', () => {
    place.value = read()
  })
  document.addEventListener('click', event => {
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
    const link = event.target instanceof Element ? event.target.closest('a') : null
    if (!isPlain || event.defaultPrevented || link === null || link.target !== '') return
    if (!link.href.startsWith(ROOT.href) && `${link.href}/` !== ROOT.href) return
    event.preventDefault()
    navigate(link.href)
  })
}

/** The link to the operations that fit a filter. */
export function filterLink(filter: string): string {
  return filter === '' ? 'operations' : `operations?${new URLSearchParams({ filter })}`
}

function read(): Place {
  const path = location.pathname.slice(ROOT.pathname.length).replace(/\/+$/, '')
  return { path, query: new URLSearchParams(location.search) }
}
