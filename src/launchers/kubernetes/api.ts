/**
 * What the launcher needs of Kubernetes: written down here, so that the package depends on no client.
 * A type test pins each part to `@kubernetes/client-node`.
 */

/** A Job to create. */
export interface KubernetesJobBody {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata?: object
  readonly spec?: object
}

/** The methods of `BatchV1Api` that are used. `reader.ts` reads their responses. */
export interface KubernetesJobsApi {
  createNamespacedJob(request: { namespace: string; body: KubernetesJobBody }): Promise<unknown>
  readNamespacedJob(request: { namespace: string; name: string }): Promise<unknown>
  listNamespacedJob(request: {
    namespace: string
    labelSelector?: string
    fieldSelector?: string
    limit?: number
    _continue?: string
  }): Promise<unknown>
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

/** The used part of a `V1JobTemplateSpec`. Every other field goes into the Job unchanged. */
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
