import { ContainerAppsAPIClient } from '@azure/arm-appcontainers'
import { DefaultAzureCredential } from '@azure/identity'
import { containerAppsJob } from 'waybill/launchers/container-apps'
import { required } from './settings.ts'

/** Azure itself, unless `waybill emulate azure` plays it. */
const endpoint = process.env.AZURE_RESOURCE_MANAGER || 'https://management.azure.com'
const subscriptionId = required('AZURE_SUBSCRIPTION_ID')
const client = new ContainerAppsAPIClient(new DefaultAzureCredential(), subscriptionId, { endpoint })

/** One execution of a Container Apps Job for each order, started as the managed identity of AZURE_CLIENT_ID. */
export const dispatcher = {
  launcher: containerAppsJob(client, {
    resourceGroup: required('AZURE_RESOURCE_GROUP'),
    job: required('WAYBILL_JOB'),
    variable: 'ORDER_ID',
  }),
  // Of 0.5 vCPU each: well within what a region gives a new subscription.
  maxExecutions: 100,
}
