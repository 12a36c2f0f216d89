// Processes that always work, beside the API on the same store.
param location string
param tags object
param token string
param image string
param environmentId string
param registryServer string
param identityId string
param clientId string
param store string
param enabled bool

// The placeholder is no worker.
var runs = enabled && !empty(image)

resource worker 'Microsoft.App/containerApps@2025-01-01' = {
  name: 'worker-${token}'
  location: location
  tags: tags
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    managedEnvironmentId: environmentId
    workloadProfileName: 'Consumption'
    // No ingress: nothing sends it requests.
    configuration: {
      activeRevisionsMode: 'Single'
      registries: [{ server: registryServer, identity: identityId }]
    }
    template: {
      // A shutdown takes up to 20 s, and hands back what is not done.
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'worker'
          image: empty(image) ? 'mcr.microsoft.com/k8se/quickstart:latest' : image
          // Arguments, and no command, which would replace the image's init.
          args: ['node', 'dist/cli/main.js', 'work', '--run', 'inline', '--concurrency', '16', 'examples/orders/processor.ts']
          resources: { cpu: json('0.5'), memory: '1Gi' }
          env: [
            { name: 'WAYBILL_STORE', value: store }
            { name: 'AZURE_CLIENT_ID', value: clientId }
          ]
        }
      ]
      // Where the work is done otherwise there is none. A deployment that left it out would let an older one run on.
      scale: {
        minReplicas: runs ? 1 : 0
        maxReplicas: runs ? 3 : 1
        rules: runs ? [{ name: 'cpu', custom: { type: 'cpu', metadata: { type: 'Utilization', value: '70' } } }] : []
      }
    }
  }
}
