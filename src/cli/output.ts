/** What commands print: for people, as columns; for programs, as JSON. */

/** Prints text and a line's end. Gives the exit code 0. */
export function print(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

/** Prints a value as one line of JSON. */
export function printJson(value: unknown): number {
  return print(JSON.stringify(value))
}

/** Rows as lines, their columns aligned. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map(row => [...(row[at] ?? '')].length)))
  return rows.map(row =>
    row
      .map((cell, at) => cell + ' '.repeat(Math.max(0, (widths[at] ?? 0) - [...cell].length)))
      .join('  ')
      .trimEnd(),
  )
}

/** Text of strangers on one line, without what a terminal would obey. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()
}

/** The same, cut where it is long. */
export function short(text: string, most = 80): string {
  const characters = [...plain(text)]
  return characters.length <= most ? characters.join('') : `${characters.slice(0, most - 1).join('')}…`
}

export function time(at: number | null): string {
  return at === null ? '' : new Date(at).toISOString()
}

/** A duration in the unit that says most: `250 ms`, `1.5 s`, `2 min 5 s`, `3 h 4 min`. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`
  const [unit, part, size] = ms < 3_600_000 ? ['min', 's', 60_000] : ['h', 'min', 3_600_000]
  return `${Math.floor(ms / size)} ${unit} ${Math.floor((ms % size) / (size / 60))} ${part}`
}
