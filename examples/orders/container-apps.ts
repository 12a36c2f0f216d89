import { ContainerAppsAPIClient } from '@azure/arm-appcontainers'
import { DefaultAzureCredential } from '@azure/identity'
import { containerAppsJob } from 'waybill/container-apps'
import { required } from './settings.ts'

/** One execution of a Container Apps Job for each order, started as the managed identity of AZURE_CLIENT_ID. */
export const dispatcher = {
  launcher: containerAppsJob({
    client: new ContainerAppsAPIClient(new DefaultAzureCredential(), required('AZURE_SUBSCRIPTION_ID')),
    resourceGroup: required('AZURE_RESOURCE_GROUP'),
    job: required('WAYBILL_JOB'),
    variable: 'ORDER_ID',
  }),
}
