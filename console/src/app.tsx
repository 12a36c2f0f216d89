/** The frame around every view. */
import { useSignal } from '@preact/signals'
import { isSignedOut, Refusal, session, signIn } from './api.ts'
import { connection } from './live.ts'
import { Button } from './parts/basics.tsx'
import { OpenQuestion } from './parts/dialog.tsx'
import { Icon, type IconName, Mark } from './parts/icons.tsx'
import { Help, openHelp } from './parts/keyboard.tsx'
import { Notices } from './parts/notices.tsx'
import { nextTheme, theme } from './parts/theme.ts'
import { place } from './router.ts'
import { Audit } from './views/audit.tsx'
import { Bulk } from './views/bulk.tsx'
import { Operation } from './views/operation.tsx'
import { Operations } from './views/operations.tsx'
import { Overview } from './views/overview.tsx'
import { Types } from './views/types.tsx'

const VIEWS: readonly (readonly [path: string, name: string, icon: IconName])[] = [
  ['', 'Overview', 'overview'],
  ['operations', 'Operations', 'operations'],
  ['types', 'Types', 'types'],
  ['bulk', 'Bulk runs', 'bulk'],
  ['audit', 'Audit', 'audit'],
]

export function App() {
  if (isSignedOut.value) return <SignIn />
  return (
    <div class="frame" data-connection={connection.value}>
      <a class="skip" href="#view">
        Skip to the content
      </a>
      <Side />
      <main id="view" tabIndex={-1}>
        {session.value !== undefined && <View />}
      </main>
      <Notices />
      <Help />
      <OpenQuestion />
    </div>
  )
}

function View() {
  const [name = '', id] = place.value.path.split('/')
  document.title = `${id?.slice(-8) ?? VIEWS.find(([path]) => path === name)?.[1] ?? 'Console'} · Waybill`
  switch (name) {
    case '':
      return <Overview />
    case 'operations':
      return id === undefined ? <Operations /> : <Operation key={id} id={id} />
    case 'types':
      return <Types />
    case 'bulk':
      return <Bulk />
    case 'audit':
      return <Audit />
    default:
      return <p class="empty">There is no such view.</p>
  }
}

const THEME_ICONS = { system: 'system', light: 'sun', dark: 'moon' } as const

function Side() {
  const [current] = place.value.path.split('/')
  return (
    <header class="side">
      <a class="brand" href=".">
        <Mark />
        Waybill
      </a>
      <nav aria-label="Views">
        {VIEWS.map(([path, name, icon]) => (
          <a key={path} href={path === '' ? '.' : path} aria-current={current === path ? 'page' : undefined}>
            <Icon name={icon} />
            <span>{name}</span>
          </a>
        ))}
      </nav>
      <div class="foot">
        <Connection />
        {session.value && (
          <p class="who" title={`Waybill ${session.value.version}`}>
            {session.value.actor}
            <span class="note">{session.value.role}</span>
          </p>
        )}
        <div class="tools">
          <Button icon={THEME_ICONS[theme.value]} kind="quiet" label={`Theme: ${theme.value}`} onClick={nextTheme} />
          <Button icon="keyboard" kind="quiet" label="Keys" onClick={openHelp} />
        </div>
      </div>
    </header>
  )
}

const CONNECTION = { opening: 'Connecting', live: 'Live', away: 'No answer' } as const

function Connection() {
  return (
    <p class="connection" role="status" data-status={connection.value}>
      <span class="dot" aria-hidden="true" />
      {CONNECTION[connection.value]}
    </p>
  )
}

/**
 * Asks for a token, for APIs that identify operators by one. It is not shown if the browser itself asks for
 * credentials.
 */
function SignIn() {
  const token = useSignal('')
  const problem = useSignal('')
  const submit = async () => {
    try {
      await signIn(token.value.trim())
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      problem.value = error.message
    }
  }
  return (
    <main class="sign-in">
      <form
        onSubmit={event => {
          event.preventDefault()
          void submit()
        }}
      >
        <Mark />
        <h1>Waybill</h1>
        <label>
          Token
          <input
            type="password"
            autocomplete="off"
            required
            value={token.value}
            onInput={event => {
              token.value = event.currentTarget.value
            }}
          />
        </label>
        <p class="note">It is sent as a bearer token, and kept until this tab is closed.</p>
        {problem.value !== '' && (
          <p class="refusal" role="alert">
            {problem.value}
          </p>
        )}
        <button type="submit" class="button primary">
          Sign in
        </button>
      </form>
    </main>
  )
}
