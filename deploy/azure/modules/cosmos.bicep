// Cosmos DB without a server and without keys: one database, one container. docs/deploy/cosmos.md says why each setting.
param location string
param tags object
param token string
param contributors array

var dataContributor = '00000000-0000-0000-0000-000000000002'
var databaseName = 'orders'
var containerName = 'operations'

resource account 'Microsoft.DocumentDB/databaseAccounts@2024-05-15' = {
  name: 'cosmos-${token}'
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    capabilities: [{ name: 'EnableServerless' }]
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: false }]
    consistencyPolicy: { defaultConsistencyLevel: 'Strong' }
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-05-15' = {
  parent: account
  name: databaseName
  properties: { resource: { id: databaseName } }
}

resource container 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-05-15' = {
  parent: database
  name: containerName
  properties: {
    resource: {
      id: containerName
      partitionKey: { paths: ['/id'], kind: 'Hash', version: 2 }
      // On, and nothing expires unless its item says so.
      defaultTtl: -1
      // No composite index is needed: docs/decisions/0018-cosmos-index.md.
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [{ path: '/by/*' }]
        excludedPaths: [{ path: '/*' }]
      }
    }
  }
}

// One after the other: the account refuses two changes of its roles at a time (412).
@batchSize(1)
resource roles 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = [for contributor in contributors: {
  parent: account
  name: guid(database.id, contributor, dataContributor)
  properties: {
    principalId: contributor
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${account.id}/dbs/${database.name}'
  }
  // The account takes no role while it makes a container.
  dependsOn: [container]
}]

// Of the container, so that what uses it waits for it.
output url string = 'cosmos:https://${account.name}.documents.azure.com/${database.name}/${container.name}'
