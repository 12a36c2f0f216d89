/** Rates over time: a column for each part of the window, drawn by CSS so that themes and forced colors apply. */
import { useSignal } from '@preact/signals'
import { clock, count, day, minute } from '../format.ts'
import type { SeriesPoint } from '../wire.ts'

const OUTCOMES = ['completed', 'failed', 'canceled'] as const
const NAMES = ['accepted', ...OUTCOMES] as const

export function Rates({ series, to }: { readonly series: readonly SeriesPoint[]; readonly to: number }) {
  const hovered = useSignal<number | undefined>(undefined)
  const most = niceMax(Math.max(1, ...series.map(it => Math.max(it.accepted, ended(it)))))
  const point = hovered.value === undefined ? undefined : series[hovered.value]
  const shown = point ?? sum(series)
  const step = (series[1]?.at ?? 0) - (series[0]?.at ?? 0)
  const span = step * series.length
  return (
    <figure class="rates">
      <figcaption>
        <dl class="legend">
          {NAMES.map(name => (
            <div key={name} data-status={name}>
              <dt>
                <span class="key" aria-hidden="true" />
                {name}
              </dt>
              <dd class="number">{count(shown[name])}</dd>
            </div>
          ))}
        </dl>
        <span class="note number">
          {point === undefined ? 'in the window' : `${clock(point.at)} – ${clock(point.at + step)}`}
        </span>
      </figcaption>
      <div
        class="plot"
        role="img"
        aria-label={`Rates: ${NAMES.map(name => `${sum(series)[name]} ${name}`).join(', ')}`}
        onPointerMove={event => {
          const { left, width } = event.currentTarget.getBoundingClientRect()
          const at = Math.floor(((event.clientX - left) / width) * series.length)
          hovered.value = at >= 0 && at < series.length ? at : undefined
        }}
        onPointerLeave={() => {
          hovered.value = undefined
        }}
      >
        {[1, 0.5].map(share => (
          <span key={share} class="line" style={{ bottom: `${share * 100}%` }}>
            <span>{count(most * share)}</span>
          </span>
        ))}
        {series.map((it, index) => (
          <span key={it.at} class={`column ${hovered.value === index ? 'hovered' : ''}`}>
            {OUTCOMES.map(name => (
              <span key={name} data-status={name} class="bar" style={{ height: `${(it[name] / most) * 100}%` }} />
            ))}
          </span>
        ))}
        <svg class="accepted" viewBox={`0 0 ${series.length} 100`} preserveAspectRatio="none" aria-hidden="true">
          <polyline
            points={series.map((it, index) => `${index + 0.5},${100 - (it.accepted / most) * 100}`).join(' ')}
          />
        </svg>
      </div>
      <div class="axis number" aria-hidden="true">
        {[0, 0.25, 0.5, 0.75, 1].map(share => (
          <span key={share}>{label(to - span * (1 - share), span)}</span>
        ))}
      </div>
    </figure>
  )
}

function ended(it: SeriesPoint): number {
  return it.completed + it.failed + it.canceled
}

function sum(series: readonly SeriesPoint[]): SeriesPoint {
  return series.reduce(
    (total, it) => ({
      at: total.at,
      accepted: total.accepted + it.accepted,
      completed: total.completed + it.completed,
      failed: total.failed + it.failed,
      canceled: total.canceled + it.canceled,
    }),
    { at: 0, accepted: 0, completed: 0, failed: 0, canceled: 0 },
  )
}

/** The next number of one digit, or 1.5 of the size: with room above the highest column, and a half that is easy to read. */
function niceMax(value: number): number {
  const size = 10 ** Math.floor(Math.log10(value))
  return Math.max(2, [1, 1.5, 2, 3, 4, 6, 8, 10].map(it => it * size).find(it => it >= value) ?? value)
}

function label(at: number, span: number): string {
  return span > 2 * 86_400_000 ? day(at) : minute(at)
}
