// The API and the jobs each have an identity of their own: whoever takes over one has not the rights of the other.
param location string
param tags object
param token string

resource api 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-api-${token}'
  location: location
  tags: tags
}

resource job 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-job-${token}'
  location: location
  tags: tags
}

output apiId string = api.id
output apiName string = api.name
output apiClientId string = api.properties.clientId
output apiPrincipalId string = api.properties.principalId
output jobId string = job.id
output jobName string = job.name
output jobClientId string = job.properties.clientId
output jobPrincipalId string = job.properties.principalId
