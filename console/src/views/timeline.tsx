/** The attempts of an operation on one line of time, with what ran them and how they ended. */
import { useComputed } from '@preact/signals'
import { session } from '../api.ts'
import { clock, duration, instant } from '../format.ts'
import { now, Since, Status } from '../parts/basics.tsx'
import { Icon } from '../parts/icons.tsx'
import type { OperationDetail } from '../wire.ts'
import { Thrown } from './thrown.tsx'

type AttemptView = OperationDetail['attempts'][number]

export function Timeline({ operation }: { readonly operation: OperationDetail }) {
  const { createdAt, finishedAt, attempts, status, runAt, waits } = operation
  const end = useComputed(() => finishedAt ?? Math.max(now.value, createdAt + 1))
  const span = Math.max(1, end.value - createdAt)
  const place = (at: number) => Math.min(100, Math.max(0, ((at - createdAt) / span) * 100))
  return (
    <div class="timeline">
      {attempts.map((attempt, index) => {
        const before = index === 0 ? createdAt : endOf(attempts[index - 1], end.value)
        return (
          <Attempt
            key={attempt.number}
            attempt={attempt}
            wait={[place(before), place(attempt.startedAt)]}
            run={[place(attempt.startedAt), place(endOf(attempt, end.value))]}
            waited={attempt.startedAt - before}
          />
        )
      })}
      {status === 'pending' && (
        <div class="attempt">
          <div class="lane">
            <Status status="pending" label={runAt === null || waits.length > 0 ? 'waiting' : `due ${clock(runAt)}`} />
            <span class="track">
              <Bar
                kind="wait"
                from={place(attempts.length === 0 ? createdAt : endOf(attempts.at(-1), end.value))}
                to={100}
              />
            </span>
            <Since at={attempts.length === 0 ? createdAt : endOf(attempts.at(-1), end.value)} />
          </div>
        </div>
      )}
      <div class="axis number" aria-hidden="true">
        <span>{clock(createdAt)}</span>
        <span>{finishedAt === null ? 'now' : `+ ${duration(span)}`}</span>
      </div>
    </div>
  )
}

function endOf(attempt: AttemptView | undefined, end: number): number {
  return attempt !== undefined && 'finishedAt' in attempt ? attempt.finishedAt : end
}

interface AttemptProps {
  readonly attempt: AttemptView
  readonly wait: readonly [number, number]
  readonly run: readonly [number, number]
  readonly waited: number
}

function Attempt({ attempt, wait, run, waited }: AttemptProps) {
  const { number, outcome, startedAt, holder, execution, engine, thrown } = attempt
  const error = 'error' in attempt ? attempt.error : null
  return (
    <details class="attempt">
      <summary class="lane">
        <span class="name">
          <span class="number">{number}</span>
          <Status status={outcome} />
        </span>
        <span class="track">
          <Bar kind="wait" from={wait[0]} to={wait[1]} />
          <Bar kind={outcome} from={run[0]} to={run[1]} />
        </span>
        {'finishedAt' in attempt ? (
          <span class="number">{duration(attempt.finishedAt - startedAt)}</span>
        ) : (
          <Since at={startedAt} />
        )}
        {error !== null && (
          <span class="cause">{thrown === null ? error.title : `${thrown.name}: ${thrown.message}`}</span>
        )}
      </summary>
      <dl class="facts">
        <dt>Started</dt>
        <dd class="number">
          {instant(startedAt)}
          {waited > 0 && <span class="note"> after {duration(waited)}</span>}
        </dd>
        {'finishedAt' in attempt && (
          <>
            <dt>Ended</dt>
            <dd class="number">{instant(attempt.finishedAt)}</dd>
          </>
        )}
        <dt>Worker</dt>
        <dd>
          <code>{holder}</code>
        </dd>
        {execution !== null && (
          <>
            <dt>Execution</dt>
            <dd>
              <Execution engine={engine} execution={execution} />
            </dd>
          </>
        )}
        {error !== null && (
          <>
            <dt>Problem</dt>
            <dd>
              {error.title} {error.code !== undefined && <code>{error.code}</code>}
            </dd>
          </>
        )}
      </dl>
      {thrown !== null && <Thrown error={thrown} label={`Thrown by attempt ${number}`} />}
    </details>
  )
}

function Bar({ kind, from, to }: { readonly kind: string; readonly from: number; readonly to: number }) {
  if (to <= from && kind === 'wait') return null
  return <span class="bar" data-status={kind} style={{ left: `${from}%`, width: `max(3px, ${to - from}%)` }} />
}

/** An execution by its engine's name, with a link to its logs where one is set up. */
export function Execution({ engine, execution }: { readonly engine: string | null; readonly execution: string }) {
  const template = session.value?.executionUrl
  const text = engine === null ? execution : `${engine} · ${execution}`
  if (template === undefined) return <code>{text}</code>
  const href = template
    .replaceAll('{execution}', encodeURIComponent(execution))
    .replaceAll('{engine}', encodeURIComponent(engine ?? ''))
  return (
    <a href={href} target="_blank" rel="noreferrer">
      <code>{text}</code> <Icon name="external" />
    </a>
  )
}
