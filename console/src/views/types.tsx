/** The operation types: their policy, how they are now, and their schemas. */
import { change, mayChange } from '../api.ts'
import { bytes, count, depth, duration } from '../format.ts'
import { useLive } from '../live.ts'
import { Button, Section, Since, Status } from '../parts/basics.tsx'
import { JsonText } from '../parts/json.tsx'
import { perform } from '../parts/notices.tsx'
import type { TypeView } from '../wire.ts'

export function Types() {
  const { data, reload } = useLive<{ readonly items: readonly TypeView[] }>('types')
  return (
    <>
      <header class="top">
        <h1>Types</h1>
      </header>
      {data?.items.map(type => (
        <Type key={type.name} type={type} reload={reload} />
      ))}
    </>
  )
}

function Type({ type, reload }: { readonly type: TypeView; readonly reload: () => Promise<void> }) {
  const { name, paused } = type
  const turn = async () => {
    const [verb, done] = paused ? ['resume', `${name} goes on.`] : ['pause', `${name} is paused: nothing new begins.`]
    await perform(() => change('POST', `types/${encodeURIComponent(name)}/${verb}`), done)
    await reload()
  }
  return (
    <Section
      title={name}
      note={<Status status={paused ? 'paused' : 'open'} />}
      actions={
        mayChange() && (
          <Button
            icon={paused ? 'play' : 'pause'}
            onClick={() => void turn()}
            label={`${paused ? 'Resume' : 'Pause'} ${name}`}
          >
            {paused ? 'Resume' : 'Pause'}
          </Button>
        )
      }
    >
      <div class="type">
        <dl class="facts">
          {factsOf(type).map(([term, value]) => (
            <div key={term}>
              <dt>{term}</dt>
              <dd class="number">{value}</dd>
            </div>
          ))}
        </dl>
        <div class="schemas">
          {(['input', 'output'] as const).map(side => (
            <details key={side}>
              <summary>{side === 'input' ? 'Input' : 'Output'} schema</summary>
              <JsonText text={JSON.stringify(type[side])} label={`${name}: ${side} schema`} />
            </details>
          ))}
          <a href={`operations?filter=type:${name}`}>Operations of {name}</a>
        </div>
      </div>
    </Section>
  )
}

function factsOf({
  policy,
  depth: ready,
  running,
  oldestAt,
}: TypeView): (readonly [string, preact.ComponentChildren])[] {
  const { attempts, lostAttempts, backoff, timeout, startDeadline, deadline, retention, bodyLimit, rateLimit } = policy
  const { concurrency, backlogLimit, inFlightLimit, priority } = policy
  const facts: (readonly [string, preact.ComponentChildren] | false)[] = [
    ['Ready', depth(ready)],
    ['Running', depth(running)],
    ['Oldest ready', oldestAt === null ? '–' : <Since at={oldestAt} />],
    ['Attempts', `${attempts}, and ${lostAttempts} lost`],
    ['Backoff', `${duration(backoff.initial)} × ${backoff.factor}, at most ${duration(backoff.max)}`],
    ['Timeout', duration(timeout)],
    startDeadline !== undefined && ['Start deadline', duration(startDeadline)],
    deadline !== undefined && ['Deadline', duration(deadline)],
    ['Retention', duration(retention)],
    ['Body', `at most ${bytes(bodyLimit)}`],
    concurrency !== undefined && ['Concurrency', `${concurrency} in a worker`],
    backlogLimit !== undefined && ['Backlog', `at most ${count(backlogLimit)}`],
    inFlightLimit !== undefined && ['In flight', `at most ${count(inFlightLimit)} of an owner`],
    rateLimit !== undefined && ['Rate', `${count(rateLimit.requests)} in ${duration(rateLimit.perMs)}`],
    priority !== 0 && ['Priority', `${priority}`],
  ]
  return facts.filter(it => it !== false)
}
