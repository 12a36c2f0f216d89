/** The small parts that every view is made of. */
import { computed, signal, useComputed, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { clockSkew } from '../api.ts'
import { ago, duration, instant, shortId } from '../format.ts'
import type { OperationView } from '../wire.ts'
import { Icon, type IconName } from './icons.tsx'
import { notify } from './notices.tsx'

const ticks = signal(Date.now())
setInterval(() => {
  if (!document.hidden) ticks.value = Date.now()
}, 1000)

/** The present by the clock of the server, second by second. */
export const now = computed(() => ticks.value + clockSkew.value)

/** How long ago something was; the exact time in its title. */
export function Ago({ at }: { readonly at: number }) {
  const text = useComputed(() => ago(now.value - at))
  return (
    <time dateTime={new Date(at).toISOString()} title={instant(at)}>
      {text}
    </time>
  )
}

/** How long something has taken so far. */
export function Since({ at }: { readonly at: number }) {
  const text = useComputed(() => {
    const ms = Math.max(0, now.value - at)
    return duration(ms < 60_000 ? Math.floor(ms / 1000) * 1000 : ms).replace(/^0 ms$/, '0 s')
  })
  return <span class="number">{text}</span>
}

/** A status, by its color and its name. */
export function Status({ status, label = status }: { readonly status: string; readonly label?: string }) {
  return (
    <span class="status" data-status={status}>
      <span class="dot" aria-hidden="true" />
      {label}
    </span>
  )
}

/** The status of an operation, with remarks. */
export function OperationStatus({ operation }: { readonly operation: OperationView }) {
  const { status, cancelRequested, purged, waits } = operation
  const isStopping = cancelRequested && status === 'running'
  const special = isStopping ? 'canceling' : waits.length > 0 ? 'waiting' : status
  return <Status status={status} label={purged ? `${status}, deleted` : special} />
}

export function IdLink({ id }: { readonly id: string }) {
  return (
    <a class="id" href={`operations/${id}`} title={id}>
      {shortId(id)}
    </a>
  )
}

/** The progress, if the handler reports it. */
export function Progress({ operation: { progress, status } }: { readonly operation: OperationView }) {
  if (progress === null || status !== 'running') return null
  const { fraction, message } = progress
  return (
    <span class="progress">
      {fraction !== undefined && <progress value={fraction} max={1} aria-label="Progress" />}
      {fraction !== undefined && <span class="number">{Math.round(fraction * 100)}%</span>}
      {message !== undefined && <span class="message">{message}</span>}
    </span>
  )
}

export function Tags({ tags }: Pick<OperationView, 'tags'>) {
  const entries = Object.entries(tags)
  if (entries.length === 0) return null
  return (
    <span class="tags">
      {entries.map(([name, value]) => (
        <a
          key={name}
          class="tag"
          href={`operations?${new URLSearchParams({ filter: `tag:${quoted(`${name}=${value}`)}` })}`}
          title={`Operations with ${name} = ${value}`}
        >
          <span>{name}</span>
          <bdi>{value}</bdi>
        </a>
      ))}
    </span>
  )
}

/** A value of a filter, in quotes where it needs them. */
export function quoted(value: string): string {
  return value !== '' && /^[^\s"\\]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`
}

interface ButtonProps {
  readonly onClick: () => void
  readonly children?: ComponentChildren
  readonly icon?: IconName
  /** The name of a button that shows only an icon. */
  readonly label?: string
  readonly kind?: 'primary' | 'danger' | 'quiet'
  readonly disabled?: boolean
  readonly title?: string
}

export function Button({ onClick, children, icon, label, kind, disabled = false, title }: ButtonProps) {
  return (
    <button
      type="button"
      class={`button ${kind ?? ''} ${children === undefined ? 'square' : ''}`}
      onClick={onClick}
      disabled={disabled}
      aria-label={label}
      title={title ?? label}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  )
}

/** Copies a text, and says so for a moment. */
export function Copy({
  text,
  label,
  children,
  icon = 'copy',
}: {
  readonly text: string | (() => string)
  readonly label: string
  readonly children?: ComponentChildren
  readonly icon?: IconName
}) {
  const isCopied = useSignal(false)
  const copy = () => {
    // Browsers leave the clipboard out of pages that come neither by https nor from this machine.
    const clipboard = navigator.clipboard as Clipboard | undefined
    const copying = clipboard?.writeText(typeof text === 'string' ? text : text()) ?? Promise.reject()
    copying.then(
      () => {
        isCopied.value = true
        setTimeout(() => {
          isCopied.value = false
        }, 1500)
      },
      () => notify('The browser does not let this page copy: it needs https, or select the text.', true),
    )
  }
  return (
    <Button
      onClick={copy}
      icon={isCopied.value ? 'check' : icon}
      kind="quiet"
      label={isCopied.value ? `Copied: ${label}` : label}
    >
      {children}
    </Button>
  )
}

/** A part of a view with a heading. */
export function Section({
  title,
  note,
  actions,
  children,
}: {
  readonly title: string
  readonly note?: ComponentChildren
  readonly actions?: ComponentChildren
  readonly children: ComponentChildren
}) {
  return (
    <section class="section">
      <header>
        <h2>{title}</h2>
        {note !== undefined && <span class="note">{note}</span>}
        {actions !== undefined && <span class="actions">{actions}</span>}
      </header>
      {children}
    </section>
  )
}

/** The text for an empty view. */
export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="empty">{children}</p>
}
