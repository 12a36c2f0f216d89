/**
 * A credential that remembers how its token requests went. If a token is late or missing, the service is late or
 * refuses, and the error would blame the service.
 */

/** The part of a credential of `@azure/identity` that is used. */
interface Credential<Scopes, Options, Token> {
  getToken(scopes: Scopes, options?: Options): Promise<Token>
}

/** The credential gave no token, so the error is not the fault of the service. */
export class NoTokenError extends Error {
  override readonly name = 'NoTokenError'
}

const CURE =
  'Check the identity of the app or job and AZURE_CLIENT_ID, or log in with "az login". A new identity takes some minutes.'

/**
 * Shares one token request among all callers that wait at the same time. The request goes on when a caller gives up: a
 * slow token is then ready for the next try, and is not requested again.
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

  /** The error of a service, or the {@link NoTokenError} that caused it. */
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

/** Opens something, with errors that name the credential if it is the cause. */
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
