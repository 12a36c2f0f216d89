/**
 * An option that may be left out may also be undefined, so that a caller can pass on what it was given without a
 * condition. With `exactOptionalPropertyTypes` that is so only where the declaration says it.
 */
import { expectTypeOf } from 'vitest'
import type { PostgresBlobsOptions } from '../../src/blobs/postgres/postgres.ts'
import type { ClientOptions, ListOptions, ResultOptions, SubmitOptions, WaitOptions } from '../../src/client/client.ts'
import type { EmulateAzureOptions } from '../../src/emulators/azure/azure.ts'
import type { KubernetesEmulatorOptions } from '../../src/emulators/kubernetes/kubernetes.ts'
import type { BlobsUrlOptions } from '../../src/from-url/blobs-from-url.ts'
import type { StoreUrlOptions } from '../../src/from-url/store-from-url.ts'
import type { AdminOptions, AdminViewOptions } from '../../src/http/admin/operator-identity.ts'
import type { CorsOptions } from '../../src/http/cors.ts'
import type { McpOptions } from '../../src/http/mcp/mcp.ts'
import type { CallerOptions } from '../../src/http/principal.ts'
import type { ApiOptions } from '../../src/http/routes.ts'
import type {
  ReceiveScaleRequestOptions,
  StorageQueueOptions,
} from '../../src/launchers/azure-storage-queue/azure-storage-queue.ts'
import type { ContainerAppsJobOptions } from '../../src/launchers/container-apps/container-apps.ts'
import type { KubernetesJobOptions } from '../../src/launchers/kubernetes/kubernetes.ts'
import type { ProcessLauncherOptions } from '../../src/launchers/process/process.ts'
import type { AskOptions, EventOptions } from '../../src/model/handler.ts'
import type { MediaOptions } from '../../src/model/media.ts'
import type { OperationTypeOptions } from '../../src/model/operation-type.ts'
import type { ProblemErrorOptions } from '../../src/model/problem.ts'
import type { ToolOptions } from '../../src/model/tool.ts'
import type { OpenApiOptions } from '../../src/openapi/openapi.ts'
import type { PluginOptions } from '../../src/servers/fastify.ts'
import type { WebServerOptions } from '../../src/servers/web-server.ts'
import type { CosmosStoreOptions } from '../../src/stores/cosmos/cosmos.ts'
import type { PostgresStoreOptions } from '../../src/stores/postgres/postgres-options.ts'
import type { SqliteStoreOptions } from '../../src/stores/sqlite/sqlite.ts'
import type { RunHandlerOptions } from '../../src/testing/run-handler.ts'
import type { TestWaybillOptions } from '../../src/testing/test-waybill.ts'
import type { AutoscaleOptions, DispatcherOptions, StartOptions, WaybillOptions } from '../../src/waybill.ts'
import type { WebhooksOptions } from '../../src/webhooks/webhooks-options.ts'
import type { WorkerOptions } from '../../src/worker/make-worker.ts'
import type { RunOperationOptions } from '../../src/worker/run-operation.ts'
import type { ChildProcessOptions } from '../../src/worker/runners/child-process/child-process.ts'
import type { StepOptions } from '../../src/worker/steps.ts'

/** The names of the members that may be left out and yet not be undefined. */
type Strict<T> = {
  [Name in keyof T]-?: object extends Pick<T, Name> ? (undefined extends Required<T>[Name] ? never : Name) : never
}[keyof T]

export function optionsMayBeUndefined(): void {
  expectTypeOf<
    Strict<{ readonly a?: string; readonly b?: string | undefined; readonly c: string }>
  >().toEqualTypeOf<'a'>()

  expectTypeOf<Strict<AdminOptions<Request>>>().toBeNever()
  expectTypeOf<Strict<AdminViewOptions>>().toBeNever()
  expectTypeOf<Strict<ApiOptions>>().toBeNever()
  expectTypeOf<Strict<AskOptions>>().toBeNever()
  expectTypeOf<Strict<AutoscaleOptions>>().toBeNever()
  expectTypeOf<Strict<BlobsUrlOptions>>().toBeNever()
  expectTypeOf<Strict<CallerOptions<Request>>>().toBeNever()
  expectTypeOf<Strict<ChildProcessOptions>>().toBeNever()
  expectTypeOf<Strict<ClientOptions>>().toBeNever()
  expectTypeOf<Strict<ContainerAppsJobOptions>>().toBeNever()
  expectTypeOf<Strict<CorsOptions>>().toBeNever()
  expectTypeOf<Strict<CosmosStoreOptions>>().toBeNever()
  expectTypeOf<Strict<DispatcherOptions>>().toBeNever()
  expectTypeOf<Strict<EmulateAzureOptions>>().toBeNever()
  expectTypeOf<Strict<EventOptions>>().toBeNever()
  expectTypeOf<Strict<KubernetesEmulatorOptions>>().toBeNever()
  expectTypeOf<Strict<KubernetesJobOptions>>().toBeNever()
  expectTypeOf<Strict<ListOptions>>().toBeNever()
  expectTypeOf<Strict<McpOptions>>().toBeNever()
  expectTypeOf<Strict<MediaOptions>>().toBeNever()
  expectTypeOf<Strict<OpenApiOptions>>().toBeNever()
  expectTypeOf<Strict<OperationTypeOptions<string, unknown, unknown, string>>>().toBeNever()
  expectTypeOf<Strict<PluginOptions>>().toBeNever()
  expectTypeOf<Strict<PostgresBlobsOptions>>().toBeNever()
  expectTypeOf<Strict<PostgresStoreOptions>>().toBeNever()
  expectTypeOf<Strict<ProblemErrorOptions>>().toBeNever()
  expectTypeOf<Strict<ProcessLauncherOptions>>().toBeNever()
  expectTypeOf<Strict<ReceiveScaleRequestOptions>>().toBeNever()
  expectTypeOf<Strict<ResultOptions>>().toBeNever()
  expectTypeOf<Strict<RunHandlerOptions>>().toBeNever()
  expectTypeOf<Strict<RunOperationOptions>>().toBeNever()
  expectTypeOf<Strict<SqliteStoreOptions>>().toBeNever()
  expectTypeOf<Strict<StartOptions>>().toBeNever()
  expectTypeOf<Strict<StepOptions>>().toBeNever()
  expectTypeOf<Strict<StorageQueueOptions>>().toBeNever()
  expectTypeOf<Strict<StoreUrlOptions>>().toBeNever()
  expectTypeOf<Strict<SubmitOptions>>().toBeNever()
  expectTypeOf<Strict<TestWaybillOptions>>().toBeNever()
  expectTypeOf<Strict<ToolOptions>>().toBeNever()
  expectTypeOf<Strict<WaitOptions>>().toBeNever()
  expectTypeOf<Strict<WaybillOptions>>().toBeNever()
  expectTypeOf<Strict<WebhooksOptions>>().toBeNever()
  expectTypeOf<Strict<WebServerOptions>>().toBeNever()
  expectTypeOf<Strict<WorkerOptions>>().toBeNever()
}
