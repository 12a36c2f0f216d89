// The API. It accepts, tells and starts; it does no work itself.
param location string
param tags object
param token string
param image string
param environmentId string
param registryServer string
param identityId string
param clientId string
param store string
param run string
param job string
param queueUrl string

var port = 3000
var isPlaceholder = empty(image)

resource api 'Microsoft.App/containerApps@2025-01-01' = {
  name: 'api-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    managedEnvironmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: { external: true, targetPort: port, transport: 'auto', allowInsecure: false }
      registries: [{ server: registryServer, identity: identityId }]
    }
    template: {
      // A shutdown lets go of held requests at once, and needs some seconds for the rest.
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'api'
          image: isPlaceholder ? 'mcr.microsoft.com/k8se/quickstart:latest' : image
          resources: { cpu: json('0.5'), memory: '1Gi' }
          env: [
            { name: 'HOST', value: '0.0.0.0' }
            { name: 'PORT', value: string(port) }
            { name: 'WAYBILL_STORE', value: store }
            { name: 'WAYBILL_RUN', value: run == 'job' ? 'container-apps' : run == 'drain' ? 'storage-queue' : 'none' }
            { name: 'WAYBILL_JOB', value: job }
            { name: 'WAYBILL_QUEUE', value: queueUrl }
            { name: 'AZURE_SUBSCRIPTION_ID', value: subscription().subscriptionId }
            { name: 'AZURE_RESOURCE_GROUP', value: resourceGroup().name }
            { name: 'AZURE_CLIENT_ID', value: clientId }
          ]
          // The placeholder answers at none of these.
          probes: isPlaceholder ? [] : [
            { type: 'Startup', httpGet: { path: '/healthz', port: port }, periodSeconds: 2, failureThreshold: 30 }
            { type: 'Liveness', httpGet: { path: '/healthz', port: port }, periodSeconds: 10, timeoutSeconds: 5 }
            { type: 'Readiness', httpGet: { path: '/readyz', port: port }, periodSeconds: 5, timeoutSeconds: 5 }
          ]
        }
      ]
      // One at least: it also hands out the work, and notices what is lost.
      scale: {
        minReplicas: 1
        maxReplicas: 3
        rules: [{ name: 'requests', http: { metadata: { concurrentRequests: '200' } } }]
      }
    }
  }
}

output id string = api.id
output url string = 'https://${api.properties.configuration.ingress.fqdn}'
