/** How the API describes itself: enough for kubectl. */

const VERBS = ['create', 'delete', 'get', 'list', 'watch']

const BATCH = { groupVersion: 'batch/v1', version: 'v1' }

const JOBS = { name: 'jobs', singularName: 'job', namespaced: true, kind: 'Job', verbs: VERBS, categories: ['all'] }

/** By this kubectl leaves the check of a Job's fields to the server: else it would need the whole schema, and make nothing without it. */
const OPENAPI = {
  openapi: '3.0.0',
  info: { title: 'Kubernetes', version: 'v1.33.0-waybill' },
  paths: {
    '/apis/batch/v1/namespaces/{namespace}/jobs/{name}': {
      patch: {
        parameters: [{ name: 'fieldValidation', in: 'query', schema: { type: 'string' } }],
        responses: {},
        'x-kubernetes-group-version-kind': { group: 'batch', version: 'v1', kind: 'Job' },
      },
    },
  },
}

/** Documents by their path. */
export const DISCOVERY: Readonly<Record<string, object>> = {
  '/version': { major: '1', minor: '33', gitVersion: 'v1.33.0-waybill', platform: 'emulated' },
  '/api': { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] },
  '/api/v1': { kind: 'APIResourceList', groupVersion: 'v1', resources: [] },
  '/apis': {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: [{ name: 'batch', versions: [BATCH], preferredVersion: BATCH }],
  },
  '/openapi/v3': { paths: { 'apis/batch/v1': { serverRelativeURL: '/openapi/v3/apis/batch/v1' } } },
  '/openapi/v3/apis/batch/v1': OPENAPI,
  '/apis/batch/v1': { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: 'batch/v1', resources: [JOBS] },
}
