/** `/openapi.json` and `/docs`: the description of the API, for programs and for people. */
import { createHash } from 'node:crypto'
import type { AnyOperationType } from '../model/operation-type.ts'
import { type OpenApiOptions, openApiDocument } from '../openapi/openapi.ts'
import { openApiPage, PAGE_HEADERS } from '../openapi/page/page.ts'
import type { HttpResponse } from './message.ts'

export class Description {
  readonly #types: readonly AnyOperationType[]
  readonly #options: OpenApiOptions
  #json: HttpResponse | undefined
  #page: HttpResponse | undefined

  constructor(types: readonly AnyOperationType[], options: OpenApiOptions) {
    this.#types = types
    this.#options = options
  }

  /** GET /openapi.json */
  async json(): Promise<HttpResponse> {
    // Made at the first request: most processes of a fleet never get one.
    this.#json ??= kept(JSON.stringify(this.#document()), { 'Content-Type': 'application/json; charset=utf-8' })
    return this.#json
  }

  /** GET /docs */
  async page(): Promise<HttpResponse> {
    this.#page ??= kept(openApiPage(this.#document()), PAGE_HEADERS)
    return this.#page
  }

  #document() {
    return openApiDocument(this.#types, this.#options)
  }
}

/** An answer that stays the same for as long as the program does. */
function kept(body: string, headers: Readonly<Record<string, string>>): HttpResponse {
  const digest = createHash('sha256').update(body).digest('base64url')
  return { status: 200, headers: { ...headers, ETag: `"${digest}"`, 'Cache-Control': 'no-cache' }, body }
}
