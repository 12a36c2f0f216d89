/**
 * Keeps the view up to date: a stream of hints, and reads that follow the hints at a pace that does not overload the
 * server.
 */
import { signal, useSignal, useSignalEffect } from '@preact/signals'
import { useCallback, useEffect, useRef } from 'preact/hooks'
import { get, isSignedOut, openEvents, openSession, Refusal, session } from './api.ts'

/** `live`: hints come. `away`: the server does not answer. */
export const connection = signal<'opening' | 'live' | 'away'>('opening')
/** Counts hints that something has changed. */
export const hints = signal(0)

const RETRY_MS = [500, 1000, 2000, 5000]
/** The interval of reads without a stream, and in case that hints are lost. */
const POLL_MS = 10_000
/** A read may take at most this share of the time. */
const READ_SHARE = 10
const MIN_PACE_MS = 750

/** Keeps the stream of hints open while the page is open. */
export async function stayConnected(): Promise<void> {
  for (let failures = 0; ; ) {
    try {
      if (session.value === undefined) await openSession()
      await readEvents(() => {
        failures = 0
        connection.value = 'live'
        hints.value++
      })
    } catch (error) {
      const isAway = !(error instanceof Refusal) || error.isAway
      if (isAway && !document.hidden) connection.value = 'away'
      if (isSignedOut.value) await signedIn()
    }
    await pause(RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)] ?? POLL_MS)
  }
}

async function readEvents(onEvent: () => void): Promise<void> {
  const response = await openEvents(new AbortController().signal)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const piece = await reader?.read()
    if (piece === undefined || piece.done) return
    if (/^event: /m.test(piece.value)) onEvent()
  }
}

function signedIn(): Promise<void> {
  return new Promise(resolve => {
    const unsubscribe = isSignedOut.subscribe(isOut => {
      if (isOut) return
      // The first call comes before there is anything to unsubscribe.
      queueMicrotask(() => unsubscribe())
      resolve()
    })
  })
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** The data of the last read, and its outcome. */
export interface Live<T> {
  readonly data: T | undefined
  readonly refusal: Refusal | undefined
  /** Reads again, now. */
  readonly reload: () => Promise<void>
}

/**
 * Reads a path, and again after hints: not sooner than ten times as long as the last read took, and only while the page
 * is visible. The old data stays until the next answer, so that the layout does not jump.
 *
 * @param path undefined to read nothing
 */
export function useLive<T>(path: string | undefined): Live<T> {
  const data = useSignal<{ readonly path: string; readonly value: T } | undefined>(undefined)
  const refusal = useSignal<Refusal | undefined>(undefined)
  const pace = useRef({ readyAt: 0, timer: 0, controller: new AbortController() })

  const reload = useCallback(async () => {
    if (path === undefined) return
    const begun = performance.now()
    const { controller } = pace.current
    try {
      const value = await get<T>(path, controller.signal)
      if (controller.signal.aborted) return
      data.value = { path, value }
      refusal.value = undefined
    } catch (error) {
      if (controller.signal.aborted || !(error instanceof Refusal)) return
      if (error.isAway) connection.value = 'away'
      else refusal.value = error
    }
    const now = performance.now()
    pace.current.readyAt = now + Math.max(MIN_PACE_MS, (now - begun) * READ_SHARE)
  }, [path])

  useEffect(() => {
    pace.current = { readyAt: 0, timer: 0, controller: new AbortController() }
    const { controller } = pace.current
    refusal.value = undefined
    void reload()
    const backstop = setInterval(() => document.hidden || void reload(), POLL_MS)
    return () => {
      controller.abort()
      clearInterval(backstop)
      clearTimeout(pace.current.timer)
    }
  }, [reload])

  const seen = useRef(hints.peek())
  useSignalEffect(() => {
    if (hints.value === seen.current) return
    seen.current = hints.value
    const it = pace.current
    if (it.timer !== 0) return
    it.timer = window.setTimeout(
      () => {
        it.timer = 0
        if (!document.hidden && !it.controller.signal.aborted) void reload()
      },
      Math.max(0, it.readyAt - performance.now()),
    )
  })

  return { data: data.value?.value, refusal: refusal.value, reload }
}
