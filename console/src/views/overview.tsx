/** The overview: the current state, and the statistics of a window of time. */
import { useSignal } from '@preact/signals'
import { count, depth, duration, percent } from '../format.ts'
import { useLive } from '../live.ts'
import { Empty, IdLink, quoted, Section, Since, Status } from '../parts/basics.tsx'
import { Rates } from '../parts/chart.tsx'
import { type Column, Table, TableHead } from '../parts/table.tsx'
import { navigate, place } from '../router.ts'
import type { Percentiles, Statistics, TypeStatistics, WorkerView } from '../wire.ts'

const WINDOWS = ['15m', '1h', '6h', '24h', '7d'] as const

const TIMES_COLUMNS: readonly Column[] = [
  { name: 'What', isNameless: true },
  { name: 'half within', isNumber: true },
  { name: '90%', isNumber: true },
  { name: '99%', isNumber: true },
  { name: 'On a logarithmic scale from a millisecond to an hour', isNameless: true, class: 'wide' },
]

const QUEUE_COLUMNS: readonly Column[] = [
  { name: 'Type' },
  { name: 'State' },
  { name: 'Ready', isNumber: true },
  { name: 'Running', isNumber: true },
  { name: 'Oldest ready', isNumber: true },
]

const WORKER_COLUMNS: readonly Column[] = [
  { name: 'Worker' },
  { name: 'Running', isNumber: true },
  { name: 'Operations' },
]

export function Overview() {
  const window = place.value.query.get('window') ?? '1h'
  const { data } = useLive<Statistics>(`statistics?window=${encodeURIComponent(window)}`)
  return (
    <>
      <header class="top">
        <h1>Overview</h1>
        <fieldset class="segments">
          <legend class="hidden">Window of time</legend>
          {WINDOWS.map(it => (
            <label key={it}>
              <input
                type="radio"
                name="window"
                checked={it === window}
                onChange={() => navigate(it === '1h' ? '.' : `.?window=${it}`, { replace: true })}
              />
              <span>{it}</span>
            </label>
          ))}
        </fieldset>
      </header>
      {data === undefined ? <Skeleton /> : <Loaded statistics={data} />}
    </>
  )
}

/** A placeholder of the same size as the content. */
function Skeleton() {
  return (
    <div aria-busy="true">
      <div class="tiles">
        {['Accepted', 'Failed', 'Ready', 'Oldest ready', 'Running', 'Run, p90'].map(name => (
          <Tile key={name} name={name} value="–" note=" " />
        ))}
      </div>
      <Section title="Rates">
        <div class="placeholder" />
      </Section>
    </div>
  )
}

function Loaded({ statistics }: { readonly statistics: Statistics }) {
  const { series, to, from, complete, types, wait, run, problems, workers } = statistics
  return (
    <>
      <Tiles statistics={statistics} />
      <Section
        title="Rates"
        note={complete ? undefined : `the last ${duration(to - from)}: more was accepted than is looked at`}
      >
        <Rates series={series} to={to} />
      </Section>
      <div class="pair">
        <Section title="Times">
          <Times wait={wait} run={run} />
        </Section>
        <Section title="Failures">
          <Failures problems={problems} />
        </Section>
      </div>
      <Section title="Queues">
        <Queues types={types} />
      </Section>
      <Section title="Workers" note={workers.length === 0 ? undefined : `${workers.length} running something`}>
        <Workers workers={workers} />
      </Section>
    </>
  )
}

function Tiles({ statistics: { series, types, run, from, to } }: { readonly statistics: Statistics }) {
  const total = (name: 'accepted' | 'completed' | 'failed' | 'canceled') =>
    series.reduce((all, it) => all + it[name], 0)
  const [accepted, failed] = [total('accepted'), total('failed')]
  const ended = failed + total('completed') + total('canceled')
  const ready = types.reduce((all, it) => all + it.depth, 0)
  const oldest = types.map(it => it.oldestAt).filter(it => it !== null)
  const perMinute = (accepted / (to - from)) * 60_000
  return (
    <div class="tiles">
      <Tile name="Accepted" value={count(accepted)} note={`${count(perMinute)} a minute`} />
      <Tile
        name="Failed"
        value={count(failed)}
        note={ended === 0 ? 'none ended' : `${percent(failed / ended)} of ${count(ended)} ended`}
        tone={failed > 0 ? 'failed' : undefined}
      />
      <Tile name="Ready" value={depth(ready)} note={ready === 0 ? 'the queue is empty' : 'waiting for a worker'} />
      <Tile
        name="Oldest ready"
        value={oldest.length === 0 ? '–' : <Since at={Math.min(...oldest)} />}
        note="since it was accepted"
      />
      <Tile
        name="Running"
        value={depth(types.reduce((all, it) => all + it.running, 0))}
        note={`${types.filter(it => it.running > 0).length} of ${types.length} types`}
      />
      <Tile
        name="Run, p90"
        value={run === null ? '–' : duration(run.p90)}
        note={run === null ? 'none ended' : `half in ${duration(run.p50)}`}
      />
    </div>
  )
}

function Tile({
  name,
  value,
  note,
  tone,
}: {
  readonly name: string
  readonly value: preact.ComponentChildren
  readonly note: string
  readonly tone?: string | undefined
}) {
  return (
    <dl class="tile" data-status={tone}>
      <dt>{name}</dt>
      <dd class="value number">{value}</dd>
      <dd class="note">{note}</dd>
    </dl>
  )
}

function Times({ wait, run }: { readonly wait: Percentiles | null; readonly run: Percentiles | null }) {
  if (wait === null && run === null) return <Empty>Nothing has begun in the window.</Empty>
  return (
    <table class="times">
      <TableHead columns={TIMES_COLUMNS} />
      <tbody>
        <TimesRow name="Wait" title="From the acceptance to the first attempt" times={wait} />
        <TimesRow name="Run" title="From the first attempt to the end" times={run} />
      </tbody>
    </table>
  )
}

function TimesRow({ name, title, times }: { name: string; title: string; times: Percentiles | null }) {
  const text = (ms: number | undefined) => (ms === undefined ? '–' : duration(ms))
  return (
    <tr>
      <th scope="row" title={title}>
        {name}
      </th>
      <td class="number right">{text(times?.p50)}</td>
      <td class="number right">{text(times?.p90)}</td>
      <td class="number right">{text(times?.p99)}</td>
      <td class="wide">
        <span class="scale" aria-hidden="true">
          {times && (
            <span class="range" style={{ left: `${position(times.p50)}%`, right: `${100 - position(times.p99)}%` }} />
          )}
          {times && <span class="point" style={{ left: `${position(times.p90)}%` }} />}
        </span>
      </td>
    </tr>
  )
}

/** Where a time lies between a millisecond and an hour, in percent. */
function position(ms: number): number {
  return Math.min(100, (Math.log10(Math.max(1, ms)) / Math.log10(3_600_000)) * 100)
}

function Failures({ problems }: Pick<Statistics, 'problems'>) {
  if (problems.length === 0) return <Empty>Nothing has failed in the window.</Empty>
  const most = Math.max(...problems.map(it => it.count))
  return (
    <ul class="bars">
      {problems.slice(0, 8).map(it => (
        <li key={it.code}>
          <a href={`operations?${new URLSearchParams({ filter: `status:failed problem:${quoted(it.code)}` })}`}>
            <span class="fill" style={{ width: `${(it.count / most) * 100}%` }} />
            <code>{it.code}</code>
            <span class="number">{count(it.count)}</span>
          </a>
        </li>
      ))}
    </ul>
  )
}

function Queues({ types }: { readonly types: readonly TypeStatistics[] }) {
  if (types.length === 0) return <Empty>There are no operation types.</Empty>
  return (
    <Table columns={QUEUE_COLUMNS}>
      {types.map(it => (
        <tr key={it.operation}>
          <td>
            <a href={`operations?filter=type:${it.operation}`}>{it.operation}</a>
          </td>
          <td>
            <Status status={it.paused ? 'paused' : 'open'} />
          </td>
          <td class="number right">{depth(it.depth)}</td>
          <td class="number right">{depth(it.running)}</td>
          <td class="number right">{it.oldestAt === null ? '–' : <Since at={it.oldestAt} />}</td>
        </tr>
      ))}
    </Table>
  )
}

function Workers({ workers }: { readonly workers: readonly WorkerView[] }) {
  const all = useSignal(false)
  if (workers.length === 0) return <Empty>No worker runs anything at present.</Empty>
  const shown = all.value ? workers : workers.slice(0, 20)
  return (
    <>
      <Table columns={WORKER_COLUMNS}>
        {shown.map(({ holder, operations }) => (
          <tr key={holder}>
            <td>
              <a
                class="mono"
                href={`operations?${new URLSearchParams({ filter: `status:running holder:${quoted(holder)}` })}`}
              >
                {holder}
              </a>
            </td>
            <td class="number right">{operations.length}</td>
            <td class="runs">
              {operations.slice(0, 8).map(it => (
                <span key={it.id} title={it.execution === null ? undefined : `${it.engine} ${it.execution}`}>
                  {it.type} <IdLink id={it.id} />
                  {it.attempt > 1 && <span class="note"> attempt {it.attempt}</span>}
                </span>
              ))}
              {operations.length > 8 && <span class="note">and {operations.length - 8} more</span>}
            </td>
          </tr>
        ))}
      </Table>
      {shown.length < workers.length && (
        <button
          type="button"
          class="link"
          onClick={() => {
            all.value = true
          }}
        >
          Show all {workers.length}
        </button>
      )}
    </>
  )
}
