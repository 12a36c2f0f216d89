/** The log of an operation, line by line as it comes. */
import { useSignal, useSignalEffect } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { get, Refusal } from '../api.ts'
import { clock, instant } from '../format.ts'
import { hints } from '../live.ts'
import { Empty } from '../parts/basics.tsx'
import type { LogLine } from '../wire.ts'

export function Log({ id, isEnded }: { readonly id: string; readonly isEnded: boolean }) {
  const lines = useSignal<readonly LogLine[] | undefined>(undefined)
  const box = useRef<HTMLOListElement>(null)
  const isReading = useRef(false)
  const read = async () => {
    if (isReading.current) return
    isReading.current = true
    try {
      const after = lines.value?.at(-1)?.sequence ?? 0
      const { items } = await get<{ items: readonly LogLine[] }>(`operations/${id}/log?after=${after}`)
      if (items.length > 0 || lines.value === undefined) lines.value = [...(lines.value ?? []), ...items]
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
    } finally {
      isReading.current = false
    }
  }
  useEffect(() => void read(), [isEnded])
  useSignalEffect(() => {
    if (hints.value > 0 && !isEnded) void read()
  })

  // Follows the end while the end is seen.
  const follows = useRef(true)
  useEffect(() => {
    const { current } = box
    if (current !== null && follows.current) current.scrollTop = current.scrollHeight
  }, [lines.value])

  if (lines.value === undefined) return <Empty> </Empty>
  if (lines.value.length === 0)
    return <Empty>{isEnded ? 'It has logged nothing.' : 'It has logged nothing yet.'}</Empty>
  return (
    <ol
      ref={box}
      class="log"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
      tabIndex={0}
      aria-label="Log"
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        follows.current = scrollHeight - scrollTop - clientHeight < 24
      }}
    >
      {lines.value.map((line, index, all) => (
        <li key={line.sequence} data-level={line.level}>
          <time class="number" title={instant(line.at)}>
            {clock(line.at)}
          </time>
          <span class="level">{line.level}</span>
          <span class="text">
            {line.message}
            {line.attempt !== all[index - 1]?.attempt && line.attempt > 1 && (
              <span class="note"> attempt {line.attempt}</span>
            )}
          </span>
        </li>
      ))}
    </ol>
  )
}
