/** What a Job has to be like to be taken, and what is filled in. */
import { randomUUID } from 'node:crypto'
import { ApiError, type Cause, type Job, type JobSpec } from './objects.ts'

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/
const VARIABLE = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/

type Fields = Readonly<Record<string, unknown>>

/**
 * Makes the Job that is stored out of the one that was sent.
 *
 * @throws {ApiError} 400 where it is not a Job at all, 422 with every cause where it is an invalid one
 */
export function admit(sent: unknown, namespace: string): Job {
  const { metadata, spec, name } = readParts(sent, namespace)
  const causes = [...nameCauses(name), ...labelCauses(metadata, 'metadata.labels'), ...specCauses(spec)]
  if (causes.length > 0) throw invalid(name, causes)
  return complete({ ...metadata, name, namespace }, spec as unknown as JobSpec)
}

function readParts(sent: unknown, namespace: string): { metadata: Fields; spec: Fields; name: string } {
  const { apiVersion = 'batch/v1', kind = 'Job', metadata, spec } = fields(sent)
  if (apiVersion !== 'batch/v1' || kind !== 'Job') {
    const message = `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`
    throw new ApiError(400, 'BadRequest', message)
  }
  const meta = fields(metadata)
  if (meta.namespace !== undefined && meta.namespace !== namespace) {
    const message = 'the namespace of the provided object does not match the namespace sent on the request'
    throw new ApiError(400, 'BadRequest', message)
  }
  const generated = meta.generateName
  const suffix = randomUUID().slice(-5)
  const name = meta.name ?? (typeof generated === 'string' && generated !== '' ? generated + suffix : '')
  return { metadata: meta, spec: fields(spec), name: String(name) }
}

function nameCauses(name: string): Cause[] {
  if (name === '')
    return [cause('FieldValueRequired', 'metadata.name', 'Required value: name or generateName is required')]
  if (name.length > 63)
    return [cause('FieldValueInvalid', 'metadata.name', 'Invalid value: must be no more than 63 characters')]
  if (SUBDOMAIN.test(name)) return []
  const rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
  return [cause('FieldValueInvalid', 'metadata.name', `Invalid value: ${JSON.stringify(name)}: ${rule}`)]
}

function labelCauses(metadata: unknown, field: string): Cause[] {
  return Object.entries(fields(fields(metadata).labels)).flatMap(([name, value]) => {
    const [, prefix, key = ''] = /^(?:([^/]*)\/)?(.*)$/.exec(name) ?? []
    const named =
      key !== '' && key.length <= 63 && LABEL_VALUE.test(key) && (prefix === undefined || SUBDOMAIN.test(prefix))
    const valued = typeof value === 'string' && value.length <= 63 && LABEL_VALUE.test(value)
    return named && valued
      ? []
      : [cause('FieldValueInvalid', field, `Invalid value: ${JSON.stringify(`${name}=${value}`)}`)]
  })
}

function specCauses(spec: Fields): Cause[] {
  const template = fields(spec.template)
  const pod = fields(template.spec)
  const causes = labelCauses(template.metadata, 'spec.template.metadata.labels')
  for (const name of [
    'activeDeadlineSeconds',
    'backoffLimit',
    'ttlSecondsAfterFinished',
    'parallelism',
    'completions',
  ]) {
    const value = spec[name] ?? 0
    if (Number.isInteger(value) && Number(value) >= 0) continue
    causes.push(
      cause('FieldValueInvalid', `spec.${name}`, `Invalid value: ${value}: must be greater than or equal to 0`),
    )
  }
  if (pod.restartPolicy !== 'Never' && pod.restartPolicy !== 'OnFailure') {
    const message = `Unsupported value: ${JSON.stringify(pod.restartPolicy ?? 'Always')}: supported values: "OnFailure", "Never"`
    causes.push(cause('FieldValueNotSupported', 'spec.template.spec.restartPolicy', message))
  }
  if (spec.podFailurePolicy !== undefined && pod.restartPolicy !== 'Never') {
    const message = 'Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified'
    causes.push(cause('FieldValueInvalid', 'spec.template.spec.restartPolicy', message))
  }
  return [...causes, ...containerCauses(pod.containers)]
}

function containerCauses(containers: unknown): Cause[] {
  const path = 'spec.template.spec.containers'
  if (!Array.isArray(containers) || containers.length === 0)
    return [cause('FieldValueRequired', path, 'Required value')]
  return containers.flatMap((container: unknown, index) => {
    const { name, image, env = [] } = fields(container)
    const at = `${path}[${index}]`
    const causes: Cause[] = []
    if (typeof name !== 'string' || !SUBDOMAIN.test(name))
      causes.push(cause('FieldValueRequired', `${at}.name`, 'Required value'))
    if (typeof image !== 'string' || image === '')
      causes.push(cause('FieldValueRequired', `${at}.image`, 'Required value'))
    for (const variable of Array.isArray(env) ? env.map(fields) : []) {
      if (typeof variable.name === 'string' && VARIABLE.test(variable.name)) continue
      causes.push(cause('FieldValueInvalid', `${at}.env`, `Invalid value: ${JSON.stringify(variable.name)}`))
    }
    return causes
  })
}

function complete(metadata: Fields & { name: string; namespace: string }, spec: JobSpec): Job {
  const uid = randomUUID()
  const { name, namespace } = metadata
  const ours = {
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  }
  const pod = { terminationGracePeriodSeconds: 30, dnsPolicy: 'ClusterFirst', ...spec.template.spec }
  const labels = { ...spec.template.metadata?.labels, ...ours }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      ...(metadata.labels ? { labels: metadata.labels as Record<string, string> } : {}),
      ...(metadata.annotations ? { annotations: metadata.annotations as Record<string, string> } : {}),
      name,
      namespace,
      uid,
      resourceVersion: '0',
      generation: 1,
      creationTimestamp: now(),
    },
    spec: {
      parallelism: 1,
      completions: 1,
      completionMode: 'NonIndexed',
      backoffLimit: 6,
      suspend: false,
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } },
      podReplacementPolicy: spec.podFailurePolicy ? 'Failed' : 'TerminatingOrFailed',
      ...spec,
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels }, spec: pod },
    },
    status: {},
  }
}

/** A time as Kubernetes writes it: to the second. */
export function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z')
}

function invalid(name: string, causes: readonly Cause[]): ApiError {
  const text = causes.map(({ field, message }) => `${field}: ${message}`).join(', ')
  const details = { name, group: 'batch', kind: 'Job', causes }
  return new ApiError(422, 'Invalid', `Job.batch ${JSON.stringify(name)} is invalid: ${text}`, details)
}

function cause(reason: string, field: string, message: string): Cause {
  return { reason, message, field }
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}
