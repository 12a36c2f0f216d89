/** Templates for HTML. They escape every value that is not HTML itself. */

/** Text that is HTML. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** A value of a template. false and undefined are rendered as nothing. */
export type Fragment = Html | string | number | false | undefined | readonly Fragment[]

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Renders a template. Attributes must be in double quotes. */
export function html(pieces: TemplateStringsArray, ...values: readonly Fragment[]): Html {
  return new Html(pieces.reduce((text, piece, index) => text + render(values[index - 1]) + piece))
}

function render(value: Fragment): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(render).join('')
  return String(value).replaceAll(/[&<>"']/g, character => ENTITIES[character] ?? '')
}

/** Marks text as HTML without escaping it. Only for text from this program. */
export function raw(text: string): Html {
  return new Html(text)
}

/** The name of an anchor on the page. */
export function anchor(kind: string, name: string): string {
  return `${kind}-${name.replaceAll(/[^\w.-]/g, '-').toLowerCase()}`
}
