/**
 * What the store needs of a `Container` of `@azure/cosmos`, so that the package is not a dependency.
 * A test holds these interfaces against the real ones.
 */

/** Headers of an answer, by their names in lower case. */
export type CosmosHeaders = Readonly<Record<string, unknown>>

export interface CosmosRequestOptions {
  readonly abortSignal?: AbortSignal
  /** Which writes a read must see. */
  readonly sessionToken?: string
  readonly accessCondition?: { type: string; condition: string }
}

/** What the SDK reports about the requests behind one answer. */
export interface CosmosDiagnostics {
  readonly clientSideRequestStatistics: {
    readonly retryDiagnostics: { readonly failedAttempts: readonly { readonly statusCode: number }[] }
  }
}

export interface CosmosAnswer<Resource> {
  /** Missing if the item does not exist. */
  readonly resource?: Resource | undefined
  readonly headers: CosmosHeaders
  readonly statusCode: number
  readonly substatus?: number
  readonly diagnostics?: CosmosDiagnostics
}

export interface CosmosItem {
  read(options?: CosmosRequestOptions): Promise<CosmosAnswer<unknown>>
  replace(body: object, options?: CosmosRequestOptions): Promise<CosmosAnswer<unknown>>
  delete(options?: CosmosRequestOptions): Promise<CosmosAnswer<unknown>>
  patch(
    body: { op: 'set'; path: string; value: unknown }[],
    options?: CosmosRequestOptions,
  ): Promise<CosmosAnswer<unknown>>
}

export interface CosmosQuery {
  readonly query: string
  readonly parameters: { name: string; value: string | number }[]
}

export interface CosmosQueryOptions extends CosmosRequestOptions {
  readonly maxItemCount: number
  /** Requests the query plan first, if it is known that one is needed. */
  readonly forceQueryPlan?: boolean
}

export interface CosmosPages {
  hasMoreResults(): boolean
  fetchNext(): Promise<{
    readonly resources?: unknown[]
    readonly requestCharge: number
    readonly diagnostics?: CosmosDiagnostics
  }>
}

export interface CosmosChanges {
  readNext(): Promise<{
    readonly result?: unknown
    readonly statusCode: number
    readonly headers: CosmosHeaders
  }>
}

export interface CosmosItems {
  create(body: object, options?: CosmosRequestOptions): Promise<CosmosAnswer<unknown>>
  query(query: CosmosQuery, options: CosmosQueryOptions): CosmosPages
  /** Without a starting point, the feed begins now. */
  getChangeFeedIterator(options: { readonly maxItemCount: number }): CosmosChanges
}

export interface CosmosContainerDefinition {
  readonly partitionKey?: { readonly paths: readonly string[] }
  readonly defaultTtl?: number
}

/** What all containers of the account share. */
export interface CosmosAccountDefinition {
  readonly consistencyPolicy: string
  readonly enableMultipleWritableLocations: boolean
}

/** A container, as `client.database(…).container(…)` gives it. */
export interface CosmosContainer {
  readonly id: string
  readonly items: CosmosItems
  readonly database: {
    readonly client: { getDatabaseAccount(): Promise<CosmosAnswer<CosmosAccountDefinition>> }
  }
  item(id: string, partitionKey: string): CosmosItem
  read(options?: CosmosRequestOptions): Promise<CosmosAnswer<CosmosContainerDefinition>>
}
