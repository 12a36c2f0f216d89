/** One operation: its history, its log, and the actions on it. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { isFinal } from '../../../src/model/protocol.ts'
import { waitStep } from '../../../src/model/waits.ts'
import { apiUrl, change, get, mayChange, Refusal, session } from '../api.ts'
import { duration, instant } from '../format.ts'
import { useLive } from '../live.ts'
import { Ago, Button, Copy, Empty, IdLink, OperationStatus, Progress, Section, Status, Tags } from '../parts/basics.tsx'
import { confirmed } from '../parts/dialog.tsx'
import { Icon } from '../parts/icons.tsx'
import { JsonText } from '../parts/json.tsx'
import { perform } from '../parts/notices.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { navigate } from '../router.ts'
import type { OperationDetail, OperationView } from '../wire.ts'
import { Children, isBatch } from './children.tsx'
import { Log } from './log.tsx'
import { DELETION } from './operations.tsx'
import { Thrown } from './thrown.tsx'
import { Execution, Timeline } from './timeline.tsx'
import { Waits } from './waits.tsx'

const DELIVERY_COLUMNS: readonly Column[] = [{ name: 'Status' }, { name: 'Attempts' }, { name: 'Sent', isNumber: true }]

export function Operation({ id }: { readonly id: string }) {
  const { data, refusal, reload } = useLive<OperationDetail>(`operations/${encodeURIComponent(id)}`)
  const input = usePayload(data, 'input')
  const result = usePayload(data, 'result')
  if (data === undefined) {
    return (
      <>
        <header class="top">
          <h1>Operation</h1>
        </header>
        {refusal && <p class="refusal">{refusal.message}</p>}
      </>
    )
  }
  return (
    <>
      <Head operation={data} input={input} reload={reload} />
      <div class="detail">
        <div class="main">
          <Section title="Attempts" note={attemptNote(data)}>
            <Timeline operation={data} />
          </Section>
          <Waits operation={data} reload={reload} />
          <Failure operation={data} />
          <Children operation={data} />
          <Section title="Log">
            <Log id={data.id} isEnded={isFinal(data.status)} />
          </Section>
          <Payload title="Result" text={result} isThere={data.hasOutput} isDue={data.status === 'completed'} />
          <Payload title="Input" text={input} isThere={data.hasInput} isDue />
          <Steps steps={data.steps} />
          <Deliveries operation={data} reload={reload} />
        </div>
        <Facts operation={data} />
      </div>
    </>
  )
}

function attemptNote({ attempts, maxAttempts }: OperationDetail): string {
  const others = attempts.filter(({ outcome }) => UNCOUNTED.includes(outcome)).length
  const counted = attempts.length - others
  const rest = others === 0 ? '' : `, and ${others} that ${others === 1 ? 'does' : 'do'} not count`
  return attempts.length === 0 ? `at most ${maxAttempts}` : `${counted} of at most ${maxAttempts}${rest}`
}

/** Attempts that were handed back, have waited, or were lost with their worker. */
const UNCOUNTED: readonly string[] = ['released', 'suspended', 'lost']

/** A payload, which is read once it is there. */
function usePayload(data: OperationDetail | undefined, name: 'input' | 'result'): string | undefined {
  const text = useSignal<string | undefined>(undefined)
  const isThere = name === 'input' ? data?.hasInput : data?.hasOutput
  useEffect(() => {
    if (!isThere || data === undefined || !session.value?.payloads) return
    get<unknown>(`operations/${data.id}/${name}`).then(
      value => {
        text.value = JSON.stringify(value)
      },
      error => {
        if (!(error instanceof Refusal)) throw error
      },
    )
  }, [isThere])
  return isThere ? text.value : undefined
}

interface HeadProps {
  readonly operation: OperationDetail
  readonly input: string | undefined
  readonly reload: () => Promise<void>
}

function Head({ operation, input, reload }: HeadProps) {
  const { id, type, status, purged } = operation
  return (
    <header class="top operation">
      <div>
        <p class="crumbs">
          <a href="operations">Operations</a> / <a href={`operations?filter=type:${type}`}>{type}</a>
        </p>
        <h1>
          <code class="whole">{id}</code>
          <Copy text={id} label="Copy the id" />
        </h1>
        <p class="state">
          <OperationStatus operation={operation} />
          <Progress operation={operation} />
          {!isFinal(status) || purged ? null : <span class="note">{endNote(operation)}</span>}
        </p>
      </div>
      <Actions operation={operation} input={input} reload={reload} />
    </header>
  )
}

function endNote({ startedAt, finishedAt }: OperationDetail) {
  if (finishedAt === null) return null
  return (
    <>
      <Ago at={finishedAt} />
      {startedAt !== null && `, in ${duration(finishedAt - startedAt)}`}
    </>
  )
}

function Actions({ operation, input, reload }: HeadProps) {
  const { id, type, status, purged, isKnownType, retriedBy, cancelRequested } = operation
  const hasEnded = isFinal(status)
  const retry = async (fresh: boolean) => {
    const made = { id: '' }
    const done = await perform(async () => {
      made.id = (await change<OperationView>('POST', `operations/${id}/retry`, { fresh })).id
    }, 'Runs again, as a new operation.')
    if (done) navigate(`operations/${made.id}`)
  }
  const act = async (work: () => Promise<unknown>, done: string) => {
    await perform(work, done)
    await reload()
  }
  const remove = async () => {
    if (!(await confirmed({ title: 'Delete this operation?', ...DELETION }))) return
    await act(() => change('DELETE', `operations/${id}`), 'Deleted.')
  }
  return (
    <div class="actions">
      <Copy text={() => curlOf(type, input)} label="Copy as curl" icon="terminal">
        curl
      </Copy>
      {mayChange() && !hasEnded && (
        <Button
          icon="cancel"
          kind="danger"
          disabled={cancelRequested}
          onClick={() => void act(() => change('POST', `operations/${id}/cancel`), 'Canceled, or asked to stop.')}
        >
          {cancelRequested ? 'Canceling' : 'Cancel'}
        </Button>
      )}
      {mayChange() && hasEnded && mayRetry(operation) && !purged && isKnownType && retriedBy === null && (
        <>
          <Button
            icon="retry"
            kind="primary"
            onClick={() => void retry(false)}
            title="Keeps the steps that were recorded"
          >
            Retry
          </Button>
          {operation.steps.length > 0 && (
            <Button onClick={() => void retry(true)} title="Forgets the steps that were recorded">
              Retry from the start
            </Button>
          )}
        </>
      )}
      {mayChange() && hasEnded && !purged && (
        <Button icon="trash" onClick={() => void remove()}>
          Delete
        </Button>
      )}
    </div>
  )
}

/** Whether it did not complete; for a batch, whether items did not. */
function mayRetry(operation: OperationDetail): boolean {
  const { status, children } = operation
  if (status !== 'completed') return true
  return isBatch(operation) && children !== null && children.failed + children.canceled > 0
}

/** The request that submits the same input. */
function curlOf(type: string, input: string | undefined): string {
  const url = apiUrl(type)
  const body = input === undefined ? "'…'" : `'${input.replaceAll("'", String.raw`'\''`)}'`
  return `curl -i ${url} \\\n  -H 'Content-Type: application/json' \\\n  -d ${body}`
}

/** Why it failed: the problem that clients see, and what the last attempt threw. */
function Failure({ operation: { error, attempts, status } }: { readonly operation: OperationDetail }) {
  if (error === null || status === 'completed') return null
  const thrown = attempts.at(-1)?.thrown
  return (
    <Section title={status === 'canceled' ? 'Cancellation' : 'Error'} note={error.code && <code>{error.code}</code>}>
      <p class="problem" data-status={status}>
        <strong>{error.title}</strong>
        {error.detail !== undefined && <span>{error.detail}</span>}
        <span class="note number">HTTP {error.status}</span>
      </p>
      {thrown && <Thrown error={thrown} label="What the handler threw" />}
    </Section>
  )
}

function Payload(props: {
  readonly title: string
  readonly text: string | undefined
  readonly isThere: boolean
  readonly isDue: boolean
}) {
  const { title, text, isThere, isDue } = props
  if (!isThere && !isDue) return null
  return (
    <Section title={title}>
      {text !== undefined ? (
        <JsonText text={text} label={title} />
      ) : (
        <Empty>
          {isThere
            ? session.value?.payloads
              ? ' '
              : 'Your role does not include payloads.'
            : 'It is not here, or no longer JSON.'}
        </Empty>
      )}
    </Section>
  )
}

/** The prefix of the steps that record how a wait has ended. */
const WAIT_STEPS = waitStep('')

function Steps({ steps }: Pick<OperationDetail, 'steps'>) {
  if (steps.length === 0) return null
  return (
    <Section title="Steps" note="recorded once, kept over attempts">
      <ul class="steps">
        {steps.map(({ name, value }) => (
          <li key={name}>
            <details>
              <summary>
                <Icon name="check" />
                {name.startsWith(WAIT_STEPS) && <span class="note">wait</span>}
                <code>{name.replace(WAIT_STEPS, '')}</code>
                <span class="note value">{value}</span>
              </summary>
              {value !== undefined && <JsonText text={value} label={`Step ${name}`} />}
            </details>
          </li>
        ))}
      </ul>
    </Section>
  )
}

function Deliveries({ operation: { deliveries, webhookUrl }, reload }: Omit<HeadProps, 'input'>) {
  if (webhookUrl === null && deliveries.length === 0) return null
  const last = deliveries.at(-1)
  return (
    <Section
      title="Webhook"
      note={<span class="mono">{webhookUrl}</span>}
      actions={
        mayChange() &&
        last !== undefined && (
          <Button
            icon="retry"
            onClick={() =>
              void perform(() => change('POST', `deliveries/${last.id}/replay`), 'Sent again.').then(() => reload())
            }
          >
            Send again
          </Button>
        )
      }
    >
      {deliveries.length === 0 ? (
        <Empty>It is sent when the operation has ended.</Empty>
      ) : (
        <Table columns={DELIVERY_COLUMNS}>
          {deliveries.map(it => (
            <tr key={it.id}>
              <td>
                <Status status={it.status} label={it.status === 'completed' ? 'delivered' : it.status} />
              </td>
              <td class="runs number">
                {it.attempts.map(attempt => (
                  <span key={attempt.number} title={instant(attempt.startedAt)}>
                    {attempt.answerStatus ?? attempt.error?.title ?? attempt.outcome}
                  </span>
                ))}
              </td>
              <td class="number right">
                <Ago at={it.createdAt} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Section>
  )
}

function Facts({ operation }: { readonly operation: OperationDetail }) {
  const { owner, createdAt, startedAt, finishedAt, expiresAt, deadline, runAt, priority, idempotencyKey } = operation
  const { holder, execution, engine, traceparent, retryOf, retriedBy, tags, waits, parent } = operation
  const facts: readonly (readonly [string, preact.ComponentChildren])[] = [
    ['Owner', owner],
    ['Tags', Object.keys(tags).length > 0 && <Tags tags={tags} />],
    ['Accepted', <Time key="" at={createdAt} />],
    ['Due', runAt !== null && waits.length === 0 && <Time at={runAt} />],
    ['Started', startedAt !== null && <Time at={startedAt} />],
    ['Ended', finishedAt !== null && <Time at={finishedAt} />],
    ['Waited', startedAt !== null && duration(startedAt - createdAt)],
    ['Deadline', deadline !== null && finishedAt === null && <Time at={deadline} />],
    ['Kept until', expiresAt !== null && <Time at={expiresAt} />],
    ['Parent', parent !== null && <IdLink id={parent} />],
    ['Retry of', retryOf !== null && <IdLink id={retryOf} />],
    ['Retried by', retriedBy !== null && <IdLink id={retriedBy} />],
    ['Key', idempotencyKey !== null && <code>{idempotencyKey}</code>],
    ['Worker', holder !== null && <code>{holder}</code>],
    ['Execution', execution !== null && <Execution engine={engine} execution={execution} />],
    ['Trace', traceparent !== null && <Trace traceparent={traceparent} />],
    ['Priority', priority !== 0 && `${priority}`],
  ]
  return (
    <aside class="aside" aria-label="Facts">
      <dl class="facts">
        {facts.map(([name, value]) =>
          value ? (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ) : null,
        )}
      </dl>
    </aside>
  )
}

function Time({ at }: { readonly at: number }) {
  return (
    <time class="number" dateTime={new Date(at).toISOString()}>
      {instant(at)}
    </time>
  )
}

function Trace({ traceparent }: { readonly traceparent: string }) {
  const [, traceId = traceparent, spanId = ''] = traceparent.split('-')
  const template = session.value?.traceUrl
  if (template === undefined) return <code class="whole">{traceId}</code>
  return (
    <a href={template.replaceAll('{traceId}', traceId).replaceAll('{spanId}', spanId)} target="_blank" rel="noreferrer">
      <code>{traceId.slice(0, 8)}…</code> <Icon name="external" />
    </a>
  )
}
