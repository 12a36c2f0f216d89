// Two job resources of one image: starting an event job by hand stops its scaling (azure-container-apps#1506).
param location string
param tags object
param token string
param image string
param environmentId string
param registryServer string
param identityId string
param clientId string
param store string
param queueAccount string
param queueName string
param queueUrl string
param operatorPrincipalId string

var jobsOperator = 'b9a307c4-5aa3-4b52-ba60-2b17c136cd7b'
var shownImage = empty(image) ? 'mcr.microsoft.com/k8se/quickstart-jobs:latest' : image
var resources = { cpu: json('0.5'), memory: '1Gi' }
var identity = { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
var registries = [{ server: registryServer, identity: identityId }]

// One execution for each operation, which the API starts with the operation's id.
resource manual 'Microsoft.App/jobs@2025-01-01' = {
  name: 'job-${token}'
  location: location
  tags: tags
  identity: identity
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      // Above the operation type's timeout, 15 minutes. The next attempt is Waybill's.
      replicaTimeout: 1200
      replicaRetryLimit: 0
      manualTriggerConfig: { parallelism: 1, replicaCompletionCount: 1 }
      registries: registries
    }
    template: {
      containers: [
        {
          name: 'job'
          image: shownImage
          // Arguments, and no command, which would replace the image's init.
          args: ['node', 'examples/orders/job.ts']
          resources: resources
          env: [
            { name: 'WAYBILL_STORE', value: store }
            { name: 'AZURE_CLIENT_ID', value: clientId }
          ]
        }
      ]
    }
  }
}

// Executions that work off the backlog: as many as there are messages, each until nothing is left.
resource event 'Microsoft.App/jobs@2025-01-01' = {
  name: 'drain-${token}'
  location: location
  tags: tags
  identity: identity
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Event'
      replicaTimeout: 3600
      replicaRetryLimit: 0
      eventTriggerConfig: {
        parallelism: 1
        replicaCompletionCount: 1
        scale: {
          minExecutions: 0
          maxExecutions: 10
          pollingInterval: 10
          rules: [
            {
              name: 'backlog'
              type: 'azure-queue'
              identity: identityId
              metadata: { accountName: queueAccount, queueName: queueName, queueLength: '1' }
            }
          ]
        }
      }
      registries: registries
    }
    template: {
      containers: [
        {
          name: 'drain'
          image: shownImage
          args: ['node', 'dist/cli/main.js', 'work', '--until-idle', '--run', 'inline', '--concurrency', '16', 'examples/orders/processor.ts']
          resources: resources
          env: [
            { name: 'WAYBILL_STORE', value: store }
            { name: 'WAYBILL_QUEUE', value: queueUrl }
            { name: 'AZURE_CLIENT_ID', value: clientId }
          ]
        }
      ]
    }
  }
}

// The API may read, start and stop executions of this one job.
resource operator 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(manual.id, operatorPrincipalId, jobsOperator)
  scope: manual
  properties: {
    principalId: operatorPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', jobsOperator)
  }
}

output manualJob string = manual.name
