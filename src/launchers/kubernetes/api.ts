/**
 * What the launcher needs of Kubernetes: written down here, so that the package depends on no client.
 * A type test pins each part to `@kubernetes/client-node`.
 */

/** What is read of a Job: part of `V1Job`. */
export interface KubernetesJob {
  readonly metadata?: { readonly name?: string; readonly deletionTimestamp?: Date }
  readonly spec?: { readonly suspend?: boolean }
  readonly status?: KubernetesJobStatus
}

/** Part of `V1JobStatus`. */
export interface KubernetesJobStatus {
  /** Pods that run and have passed their readiness probes; not set before the Job controller has looked. */
  readonly ready?: number
  readonly succeeded?: number
  readonly failed?: number
  readonly conditions?: readonly KubernetesCondition[]
}

/** Part of `V1JobCondition`. */
export interface KubernetesCondition {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
}

/** A page of a listing: part of `V1JobList`. */
export interface KubernetesJobList {
  readonly items: readonly KubernetesJob[]
  readonly metadata?: { readonly _continue?: string; readonly resourceVersion?: string }
}

/** A Job to create. */
export interface KubernetesJobBody {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata?: object
  readonly spec?: object
}

/** The methods of `BatchV1Api` that are used. */
export interface KubernetesJobsApi {
  createNamespacedJob(request: { namespace: string; body: KubernetesJobBody }): Promise<unknown>
  readNamespacedJob(request: { namespace: string; name: string }): Promise<KubernetesJob>
  listNamespacedJob(request: {
    namespace: string
    labelSelector?: string
    fieldSelector?: string
    limit?: number
    _continue?: string
  }): Promise<KubernetesJobList>
  deleteNamespacedJob(request: { namespace: string; name: string; propagationPolicy?: string }): Promise<unknown>
}

/** The client's `Watch`. */
export interface KubernetesWatch {
  watch(
    path: string,
    query: Record<string, string | number | boolean | undefined>,
    onEvent: (type: string, object: unknown) => void,
    onEnd: (error: unknown) => void,
  ): Promise<{ abort(): void }>
}

/** What is used of a container: part of `V1Container`. */
export interface KubernetesContainer {
  readonly name: string
  readonly env?: readonly { readonly name: string }[]
  readonly readinessProbe?: object
}

/** What is used of a `V1JobTemplateSpec`; every other field of it goes into the Job as it is. */
export interface KubernetesJobTemplate {
  readonly metadata?: KubernetesTemplateMetadata
  readonly spec?: {
    readonly activeDeadlineSeconds?: number
    readonly ttlSecondsAfterFinished?: number
    readonly podFailurePolicy?: object
    readonly template: {
      readonly metadata?: KubernetesTemplateMetadata
      readonly spec?: {
        readonly containers: readonly KubernetesContainer[]
        readonly readinessGates?: readonly object[]
      }
    }
  }
}

interface KubernetesTemplateMetadata {
  readonly labels?: { readonly [name: string]: string }
  readonly annotations?: { readonly [name: string]: string }
}
