/** An answer of the service that reports an error. */
export class CosmosProblem extends Error {
  readonly status: number
  readonly headers: Record<string, string>
  readonly extra: Record<string, unknown>

  constructor(
    status: number,
    message: string,
    headers: Record<string, string> = {},
    extra: Record<string, unknown> = {},
  ) {
    super(message)
    this.status = status
    this.headers = headers
    this.extra = extra
  }
}
