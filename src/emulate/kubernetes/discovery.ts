/** What the API tells of itself: enough for kubectl. */

const VERBS = ['create', 'delete', 'get', 'list', 'watch']

const BATCH = { groupVersion: 'batch/v1', version: 'v1' }

const JOBS = { name: 'jobs', singularName: 'job', namespaced: true, kind: 'Job', verbs: VERBS, categories: ['all'] }

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
  '/apis/batch/v1': { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: 'batch/v1', resources: [JOBS] },
}
