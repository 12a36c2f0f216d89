/** JSON and other text as it is read: colored, and cut where it is long. */
import { useSignal } from '@preact/signals'
import { bytes } from '../format.ts'
import { Copy } from './basics.tsx'

/** Characters that are shown at first. */
const SHOWN = 20_000

const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g

export function JsonText({ text, label }: { readonly text: string; readonly label: string }) {
  return <Text text={pretty(text)} label={label} isJson />
}

/** Text in lines, with a button that copies all of it. */
export function Text({
  text,
  label,
  isJson = false,
}: {
  readonly text: string
  readonly label: string
  readonly isJson?: boolean
}) {
  const isWhole = useSignal(text.length <= SHOWN)
  const shown = isWhole.value ? text : text.slice(0, SHOWN)
  return (
    <section class={isJson ? 'code json' : 'code'} aria-label={label}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <pre tabIndex={0}>{isJson ? colored(shown) : shown}</pre>
      <Copy text={text} label={`Copy: ${label}`} />
      {!isWhole.value && (
        <button
          type="button"
          class="link"
          onClick={() => {
            isWhole.value = true
          }}
        >
          Show all {bytes(text.length)}
        </button>
      )}
    </section>
  )
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

function colored(text: string) {
  const parts: (string | preact.JSX.Element)[] = []
  let at = 0
  for (const match of text.matchAll(TOKENS)) {
    const [whole, string, colon, word] = match
    parts.push(text.slice(at, match.index))
    const kind = string === undefined ? (word === undefined ? 'n' : 'w') : colon === undefined ? 's' : 'k'
    parts.push(
      <bdi key={match.index} class={kind}>
        {string ?? whole}
      </bdi>,
      colon ?? '',
    )
    at = match.index + whole.length
  }
  return [...parts, text.slice(at)]
}
