/** HTML from templates: what is put into one is escaped, unless it is HTML itself. */

/** Text that is HTML. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** What a template takes: nothing for false and undefined. */
export type Fragment = Html | string | number | false | undefined | readonly Fragment[]

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Makes HTML; attributes stand in double quotes. */
export function html(pieces: TemplateStringsArray, ...values: readonly Fragment[]): Html {
  return new Html(pieces.reduce((text, piece, index) => text + render(values[index - 1]) + piece))
}

function render(value: Fragment): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(render).join('')
  return String(value).replaceAll(/[&<>"']/g, character => ENTITIES[character] ?? '')
}

/** Takes text as HTML: only for what this program itself has written. */
export function raw(text: string): Html {
  return new Html(text)
}

/** The name of an anchor on the page. */
export function anchor(kind: string, name: string): string {
  return `${kind}-${name.replaceAll(/[^\w.-]/g, '-').toLowerCase()}`
}
