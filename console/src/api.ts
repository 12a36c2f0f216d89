/** Requests to the admin API, beside which the console is served. */
import { signal } from '@preact/signals'
import type { Problem, Session } from './wire.ts'

const ADMIN = new URL('../admin/', document.baseURI)
const CREDENTIALS = 'waybill.authorization'

/** A refusal of the server, or no answer. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail ?? problem.title)
    this.problem = problem
  }

  /** Whether there was no answer, or only one from a proxy. */
  get isAway(): boolean {
    return this.problem.status === 0 || [502, 503, 504].includes(this.problem.status)
  }
}

const AWAY: Problem = { type: 'about:blank', title: 'The server does not answer', status: 0 }

/** The session, once it is known. */
export const session = signal<Session | undefined>(undefined)
/** Whether the server requires authentication. */
export const isSignedOut = signal(false)
/** How far the clock of the server is ahead of this one, in milliseconds. */
export const clockSkew = signal(0)

/** Whether the session may change anything. */
export function mayChange(): boolean {
  return session.value?.role === 'operator'
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await send(path, { signal: signal ?? null })
  return (await response.json()) as T
}

/** Changes something, with the token of the session. A token that has become invalid is read again, once. */
export async function change<T = void>(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const attempt = () =>
    send(path, {
      method,
      headers: {
        'waybill-token': session.value?.token ?? '',
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  const response = await attempt().catch(async error => {
    if (!(error instanceof Refusal) || error.problem.code !== 'admin-token-invalid') throw error
    await openSession()
    return await attempt()
  })
  return (response.status === 204 ? undefined : await response.json()) as T
}

export async function openSession(): Promise<void> {
  session.value = await get<Session>('session')
  isSignedOut.value = false
}

/** Keeps the bearer token until the tab is closed. */
export async function signIn(token: string): Promise<void> {
  sessionStorage.setItem(CREDENTIALS, `Bearer ${token}`)
  await openSession()
}

/** Opens the stream of hints. */
export function openEvents(signal: AbortSignal): Promise<Response> {
  return send('events', { signal, headers: { accept: 'text/event-stream' } })
}

/** A URL of the API beside which the console is served, for people who want it elsewhere. */
export function apiUrl(path: string): string {
  return new URL(`../${path}`, ADMIN).href
}

async function send(path: string, init: RequestInit): Promise<Response> {
  const authorization = sessionStorage.getItem(CREDENTIALS)
  const headers = new Headers(init.headers)
  if (authorization !== null) headers.set('authorization', authorization)
  const response = await fetch(new URL(path, ADMIN), { ...init, headers }).catch(error => {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new Refusal(AWAY)
  })
  readClock(response)
  if (response.ok) return response
  const problem = await problemOf(response)
  if (response.status === 401) isSignedOut.value = true
  throw new Refusal(problem)
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const problem = (await response.json()) as Partial<Problem>
    return { type: 'about:blank', title: response.statusText, ...problem, status: response.status }
  } catch {
    return { type: 'about:blank', title: response.statusText || 'The request failed', status: response.status }
  }
}

/** The header counts whole seconds, so a difference below two seconds means nothing. */
function readClock(response: Response): void {
  const ahead = Date.parse(response.headers.get('date') ?? '') - Date.now()
  if (!Number.isNaN(ahead)) clockSkew.value = Math.abs(ahead) < 2000 ? 0 : ahead
}
