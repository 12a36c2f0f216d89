// The queue that wakes executions which drain the backlog. Its messages say no more than that there is work.
param location string
param tags object
param token string
param senderPrincipalId string
param receiverPrincipalId string

var messageSender = 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
var reader = '19e7f393-937e-4f77-808e-94535e297925'
// Renewing a message is a write, which the role Message Processor has not.
var contributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: 'st${token}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2023-05-01' = {
  parent: queues
  name: 'orders'
}

var assignments = [
  { principal: senderPrincipalId, role: messageSender }
  { principal: senderPrincipalId, role: reader }
  { principal: receiverPrincipalId, role: contributor }
]

resource roles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for it in assignments: {
  name: guid(queue.id, it.principal, it.role)
  scope: queue
  properties: {
    principalId: it.principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', it.role)
  }
}]

output account string = account.name
output name string = queue.name
output url string = '${account.properties.primaryEndpoints.queue}${queue.name}'
