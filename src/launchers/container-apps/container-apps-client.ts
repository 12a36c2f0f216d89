/**
 * What the launcher needs of a `ContainerAppsAPIClient` of `@azure/arm-appcontainers` 4, written down here so
 * that the package forces no SDK on anyone. A test pins it to the real client.
 */

/** The client. What it returns is `unknown` here: `reader.ts` alone looks into it. */
export interface ContainerAppsClient {
  readonly jobs: {
    get(resourceGroup: string, job: string, options: CallOptions): Promise<unknown>
    start(resourceGroup: string, job: string, options: StartOptions): Submission
    stopExecution(resourceGroup: string, job: string, execution: string, options: CallOptions): Submission
  }
  readonly jobsExecutions: {
    list(resourceGroup: string, job: string, options: CallOptions): { byPage(): AsyncIterable<readonly unknown[]> }
  }
  jobExecution(resourceGroup: string, job: string, execution: string, options: CallOptions): Promise<unknown>
  readonly pipeline: {
    addPolicy(policy: Policy, options: { afterPhase: 'Sign' }): void
    removePolicy(options: { name: string }): unknown
  }
}

/**
 * A long-running call: it has been sent when `submitted` resolves. The object is thenable: awaiting the object itself
 * waits until the whole call is done.
 */
export interface Submission {
  submitted(): Promise<void>
}

export interface CallOptions {
  readonly requestOptions: { readonly timeout: number }
  readonly onResponse?: (response: Answer) => void
}

export interface StartOptions extends CallOptions {
  readonly template: ExecutionTemplate
}

/** A raw HTTP response. */
export interface Answer {
  readonly status: number
  readonly headers: { get(name: string): string | undefined }
  readonly bodyAsText?: string | null | undefined
}

/** A step of the client's pipeline. */
export interface Policy {
  readonly name: string
  sendRequest<Q extends { readonly method: string; readonly url: string }, A extends Answer>(
    request: Q,
    next: (request: Q) => Promise<A>,
  ): Promise<A>
}

/** What a start overrides: the whole template or nothing. */
export interface ExecutionTemplate {
  containers?: ExecutionContainer[]
  initContainers?: ExecutionContainer[]
}

export interface ExecutionContainer {
  image?: string
  name?: string
  command?: string[]
  args?: string[]
  env?: EnvironmentVariable[]
  resources?: { cpu?: number; memory?: string }
}

export interface EnvironmentVariable {
  name?: string
  value?: string
  secretRef?: string
}
