/**
 * A credential that remembers how its tokens come. A service that is entered with a token is late or refuses where the
 * token is late or missing, and would be blamed for it.
 */

/** What of a credential of `@azure/identity` is used. */
interface Credential<Scopes, Options, Token> {
  getToken(scopes: Scopes, options?: Options): Promise<Token>
}

/** The credential gave no token: what a service answers without one is not its fault. */
export class NoTokenError extends Error {
  override readonly name = 'NoTokenError'
}

const CURE =
  'Check the identity of the app or job and AZURE_CLIENT_ID, or log in with "az login". A new identity takes some minutes.'

/**
 * Shares one request for a token among all who want it at a time, and lets it go on where one of them gives up: a slow
 * token then comes to the next try, and is not requested again from the start.
 */
export class SharedCredential<Scopes, Options extends object, Token> {
  readonly #credential: Credential<Scopes, Options, Token>
  readonly #pending = new Map<string, { readonly since: number; readonly token: Promise<Token> }>()
  #failure: unknown

  constructor(credential: Credential<Scopes, Options, Token>) {
    this.#credential = credential
  }

  async getToken(scopes: Scopes, options?: Options): Promise<Token> {
    const { abortSignal: _, ...shared } = (options ?? {}) as Options & { abortSignal?: unknown }
    const key = JSON.stringify([scopes, shared])
    const pending = this.#pending.get(key) ?? this.#request(key, scopes, shared as unknown as Options)
    return await pending.token
  }

  #request(key: string, scopes: Scopes, options: Options) {
    const token = this.#credential.getToken(scopes, options)
    const pending = { since: performance.now(), token }
    this.#pending.set(key, pending)
    token
      .then(
        () => {
          this.#failure = undefined
        },
        (error: unknown) => {
          this.#failure = error
        },
      )
      .finally(() => this.#pending.delete(key))
    return pending
  }

  /** The error of a service, or where a token was missing the error that says so. */
  explain(error: unknown, service: string): unknown {
    const [pending] = this.#pending.values()
    if (pending !== undefined) {
      const seconds = ((performance.now() - pending.since) / 1000).toFixed(1)
      const message = `The credential has given no token for ${service} in ${seconds} s. ${CURE}`
      return new NoTokenError(message, { cause: error })
    }
    if (this.#failure === undefined) return error
    const why = this.#failure instanceof Error ? this.#failure.message : String(this.#failure)
    return new NoTokenError(`The credential gave no token for ${service}: ${why} ${CURE}`, { cause: this.#failure })
  }
}

/** What opens, with errors that name the credential where that is the cause. */
export function explainOpenFailures<Opened extends { open(): Promise<void> }>(
  it: Opened,
  credential: { explain(error: unknown, service: string): unknown } | undefined,
  service: string,
): Opened {
  if (credential === undefined) return it
  const open = it.open.bind(it)
  return Object.assign(it, {
    open: () =>
      open().catch((error: unknown) => {
        throw credential.explain(error, service)
      }),
  })
}
