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

/** The partition was split: the SDK asks for the ranges again. */
export function rangeGone(): CosmosProblem {
  return new CosmosProblem(410, 'The partition key range is gone.', { 'x-ms-substatus': '1002' })
}
