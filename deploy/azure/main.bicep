// The example on Azure: an API as a container app, its work in workers or Container Apps Jobs, and a store. No keys anywhere.
targetScope = 'subscription'

@minLength(1)
@maxLength(32)
@description('Names the resource group, and through it everything else.')
param environmentName string

param location string

@description('The image of API and jobs. Empty: the one that the API runs now, or a placeholder before the first one is built.')
param image string = ''

@description('Whether there is an API already. azd looks for it by its tag.')
param apiExists bool = false

@allowed(['cosmos', 'postgres'])
param store string = 'cosmos'

@allowed(['worker', 'job', 'drain'])
@description('worker: processes that always run. job: one execution for each operation. drain: executions that work off the backlog, woken through a queue.')
param run string = 'worker'

@description('Who is told of trouble. Empty: alerts show in the portal alone.')
param alertEmail string = ''

var tags = { 'azd-env-name': environmentName }
var token = toLower(uniqueString(subscription().id, environmentName, location))

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identities 'modules/identities.bicep' = {
  scope: group
  name: 'identities'
  params: { location: location, tags: tags, token: token }
}

module current 'modules/image.bicep' = {
  scope: group
  name: 'image'
  params: { token: token, exists: apiExists }
}

// Never a placeholder over an app that runs.
var usedImage = empty(image) ? current.outputs.image : image

module registry 'modules/registry.bicep' = {
  scope: group
  name: 'registry'
  params: {
    location: location
    tags: tags
    token: token
    pullers: [identities.outputs.apiPrincipalId, identities.outputs.jobPrincipalId]
  }
}

module environment 'modules/environment.bicep' = {
  scope: group
  name: 'environment'
  params: { location: location, tags: tags, token: token }
}

module cosmos 'modules/cosmos.bicep' = if (store == 'cosmos') {
  scope: group
  name: 'cosmos'
  params: {
    location: location
    tags: tags
    token: token
    contributors: [identities.outputs.apiPrincipalId, identities.outputs.jobPrincipalId]
  }
}

module postgres 'modules/postgres.bicep' = if (store == 'postgres') {
  scope: group
  name: 'postgres'
  params: {
    location: location
    tags: tags
    token: token
    apiName: identities.outputs.apiName
    apiPrincipalId: identities.outputs.apiPrincipalId
    jobName: identities.outputs.jobName
    jobPrincipalId: identities.outputs.jobPrincipalId
  }
}

module queue 'modules/queue.bicep' = {
  scope: group
  name: 'queue'
  params: {
    location: location
    tags: tags
    token: token
    senderPrincipalId: identities.outputs.apiPrincipalId
    receiverPrincipalId: identities.outputs.jobPrincipalId
  }
}

var cosmosUrl = store == 'cosmos' ? cosmos!.outputs.url : ''
var postgresServer = store == 'postgres' ? postgres!.outputs.server : ''
// On PostgreSQL each identity is a user of its own name. The API starts first, makes the tables and grants them to the jobs.
var apiPostgresUrl = 'postgres://${identities.outputs.apiName}@${postgresServer}&grantTo=${identities.outputs.jobName}'
var apiStore = store == 'cosmos' ? cosmosUrl : apiPostgresUrl
var jobStore = store == 'cosmos' ? cosmosUrl : 'postgres://${identities.outputs.jobName}@${postgresServer}'

module jobs 'modules/jobs.bicep' = {
  scope: group
  name: 'jobs'
  params: {
    location: location
    tags: tags
    token: token
    image: usedImage
    environmentId: environment.outputs.id
    registryServer: registry.outputs.server
    identityId: identities.outputs.jobId
    clientId: identities.outputs.jobClientId
    store: jobStore
    queueAccount: queue.outputs.account
    queueName: queue.outputs.name
    queueUrl: queue.outputs.url
    operatorPrincipalId: identities.outputs.apiPrincipalId
  }
}

module worker 'modules/worker.bicep' = {
  scope: group
  name: 'worker'
  params: {
    location: location
    tags: tags
    token: token
    image: usedImage
    environmentId: environment.outputs.id
    registryServer: registry.outputs.server
    identityId: identities.outputs.jobId
    clientId: identities.outputs.jobClientId
    store: jobStore
    enabled: run == 'worker'
  }
}

module api 'modules/api.bicep' = {
  scope: group
  name: 'api'
  params: {
    location: location
    tags: tags
    token: token
    image: usedImage
    environmentId: environment.outputs.id
    registryServer: registry.outputs.server
    identityId: identities.outputs.apiId
    clientId: identities.outputs.apiClientId
    store: apiStore
    run: run
    job: jobs.outputs.manualJob
    queueUrl: queue.outputs.url
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  name: 'alerts'
  params: {
    location: location
    tags: tags
    email: alertEmail
    workspaceId: environment.outputs.workspaceId
    apiId: api.outputs.id
  }
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = registry.outputs.server
// azd keeps it in its environment, and gives it to the next provision.
output SERVICE_API_IMAGE_NAME string = usedImage
output SERVICE_API_URI string = api.outputs.url
