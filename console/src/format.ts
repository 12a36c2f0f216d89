/** Numbers, times and durations as people read them. */

const UNITS = [
  ['d', 86_400_000, 'h', 3_600_000],
  ['h', 3_600_000, 'm', 60_000],
  ['m', 60_000, 's', 1000],
] as const

/** `840 ms`, `4.2 s`, `3m 12s`, `2h 5m`, `3d 4h`. */
export function duration(ms: number): string {
  if (ms < 0) return '0 ms'
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${trimmed(ms / 1000)} s`
  for (const [unit, size, part, partSize] of UNITS) {
    if (ms < size) continue
    const rest = Math.floor((ms % size) / partSize)
    return rest === 0 ? `${Math.floor(ms / size)}${unit}` : `${Math.floor(ms / size)}${unit} ${rest}${part}`
  }
  return ''
}

function trimmed(value: number): string {
  return value < 10 ? value.toFixed(1).replace(/\.0$/, '') : `${Math.floor(value)}`
}

/** One unit is enough for how long ago something was. */
export function ago(ms: number): string {
  if (ms < 1500) return 'now'
  if (ms < 60_000) return `${Math.floor(ms / 1000)}s ago`
  const [unit, size] = UNITS.find(([, size]) => ms >= size) ?? UNITS[2]
  return `${Math.floor(ms / size)}${unit} ago`
}

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

/** `1,234`, and `12.3K` from ten thousand. */
export function count(value: number): string {
  return value < 10_000 ? NUMBER.format(value) : COMPACT.format(value)
}

/** Depths are counted to 10,000. */
export function depth(value: number): string {
  return value >= 10_000 ? '10K+' : count(value)
}

/** A share of a whole, to where it says something: `0%`, `0.4%`, `12%`. */
export function percent(share: number): string {
  if (share === 0) return '0%'
  return share < 0.1 ? `${NUMBER.format(share * 100)}%` : `${Math.round(share * 100)}%`
}

const DAY = new Intl.DateTimeFormat('en', { month: 'short', day: 'numeric' })
const CLOCK = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const MINUTE = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })

export function clock(at: number): string {
  return CLOCK.format(at)
}

export function minute(at: number): string {
  return MINUTE.format(at)
}

export function day(at: number): string {
  return DAY.format(at)
}

/** `Nov 29, 08:12:45.123`, in the time zone of the browser. */
export function instant(at: number): string {
  return `${DAY.format(at)}, ${CLOCK.format(at)}.${`${at % 1000}`.padStart(3, '0')}`
}

/** The end of an id, which differs where its beginning is the time. */
export function shortId(id: string): string {
  return id.slice(-8)
}

/** A sum of bytes. */
export function bytes(length: number): string {
  if (length < 1024) return `${length} B`
  return length < 1024 * 1024 ? `${NUMBER.format(length / 1024)} KB` : `${NUMBER.format(length / 1024 / 1024)} MB`
}
