// What somebody should look at: answers of 5xx, executions that cannot be started, and errors that API or executions have logged.
param location string
param tags object
param email string
param workspaceId string
param apiId string

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'people'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'waybill'
    emailReceivers: [{ name: 'email', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource failures 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'api-5xx'
  location: 'global'
  tags: tags
  properties: {
    description: 'More than 10 requests in 5 minutes were answered with 5xx. An operation that failed also answers so, at its result URL.'
    severity: 2
    enabled: true
    scopes: [apiId]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: '5xx'
          criterionType: 'StaticThresholdCriterion'
          metricName: 'Requests'
          dimensions: [{ name: 'statusCodeCategory', operator: 'Include', values: ['5xx'] }]
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 10
        }
      ]
    }
    actions: empty(email) ? [] : [{ actionGroupId: people.id }]
  }
}

resource errors 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'logged-errors'
  location: location
  tags: tags
  properties: {
    displayName: 'API or executions log errors'
    description: 'Such as an operation for which no more executions are started. Level 50 is the API\'s "error".'
    severity: 2
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    // A table that has no row yet does not exist.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'ContainerAppConsoleLogs | where Log has \'"level":50\' or Log has \'"level":"error"\''
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: { actionGroups: empty(email) ? [] : [people.id] }
  }
}

resource starts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'no-executions'
  location: location
  tags: tags
  properties: {
    displayName: 'Executions cannot be started'
    description: 'The API accepts orders, and nothing works on them. The log line says why. It is written again each hour while it lasts.'
    severity: 1
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'ContainerAppConsoleLogs | where Log has \'Executions cannot be started\''
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: { actionGroups: empty(email) ? [] : [people.id] }
  }
}
