// PostgreSQL without passwords: the identities are users of their own names, who come with a token.
param location string
param tags object
param token string
param apiName string
param apiPrincipalId string
param jobName string
param jobPrincipalId string

var databaseName = 'orders'

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: 'psql-${token}'
  location: location
  tags: tags
  sku: { name: 'Standard_B1ms', tier: 'Burstable' }
  properties: {
    version: '16'
    storage: { storageSizeGB: 32, autoGrow: 'Enabled' }
    backup: { backupRetentionDays: 7, geoRedundantBackup: 'Disabled' }
    highAvailability: { mode: 'Disabled' }
    authConfig: { activeDirectoryAuth: 'Enabled', passwordAuth: 'Disabled', tenantId: tenant().tenantId }
  }
}

// What runs in Azure, as container apps without a network of their own do.
resource azure 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2024-08-01' = {
  parent: server
  name: 'azure'
  properties: { startIpAddress: '0.0.0.0', endIpAddress: '0.0.0.0' }
}

// A template can make no user of less rights. docs/deploy/azure.md says how to take them away again.
// The server takes one change at a time.
resource api 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2024-08-01' = {
  parent: server
  name: apiPrincipalId
  properties: { principalName: apiName, principalType: 'ServicePrincipal', tenantId: tenant().tenantId }
  dependsOn: [azure]
}

resource job 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2024-08-01' = {
  parent: server
  name: jobPrincipalId
  properties: { principalName: jobName, principalType: 'ServicePrincipal', tenantId: tenant().tenantId }
  dependsOn: [api]
}

// After the administrators: a database that is there before them does not let them make a schema in it.
resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2024-08-01' = {
  parent: server
  name: databaseName
  properties: { charset: 'UTF8', collation: 'en_US.utf8' }
  dependsOn: [job]
}

output server string = '${server.properties.fullyQualifiedDomainName}/${database.name}?sslmode=verify-full'
