/**
 * The types of the web platform that declarations name. A program may have them from the DOM library, from
 * `@types/node`, or not at all: then a type of our own, with the members that are used, takes its place, so that
 * declarations compile in every program.
 *
 * This file contains only types and no code.
 */

/** The instance type of a global class, or the type that takes its place. */
type Instance<Name extends string, Fallback> =
  typeof globalThis extends Record<Name, { readonly prototype: infer T }> ? T : Fallback

/** `URL`. */
export type WebURL = Instance<'URL', { readonly href: string; toString(): string }>

/** `AbortSignal`. */
export type WebAbortSignal = Instance<
  'AbortSignal',
  { readonly aborted: boolean; readonly reason: unknown; throwIfAborted(): void }
>

/** `Blob`. */
export type WebBlob = Instance<
  'Blob',
  { readonly size: number; readonly type: string; arrayBuffer(): Promise<ArrayBuffer>; text(): Promise<string> }
>

/** `ReadableStream`. */
export type WebStream = Instance<'ReadableStream', AsyncIterable<Uint8Array>>

/** `Response`. */
export type WebResponse = Instance<
  'Response',
  {
    readonly ok: boolean
    readonly status: number
    readonly statusText: string
    readonly url: string
    readonly headers: { get(name: string): string | null; has(name: string): boolean }
    readonly body: unknown
    json(): Promise<unknown>
    text(): Promise<string>
    arrayBuffer(): Promise<ArrayBuffer>
  }
>

/** `fetch`. */
export type WebFetch = typeof globalThis extends { fetch: infer Fetch extends (...args: never[]) => unknown }
  ? Fetch
  : (input: string, init?: FallbackInit) => Promise<WebResponse>

/** The first parameter of `fetch`. */
export type WebRequestInput = Parameters<WebFetch>[0]

/** `RequestInit`: the second parameter of `fetch`. */
export type WebRequestInit = NonNullable<Parameters<WebFetch>[1]>

interface FallbackInit {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>> | Iterable<readonly [string, string]>
  readonly body?: unknown
  readonly credentials?: 'include' | 'omit' | 'same-origin'
  readonly signal?: WebAbortSignal | null
}
