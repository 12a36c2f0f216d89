import { DefaultAzureCredential } from '@azure/identity'
import { QueueClient } from '@azure/storage-queue'
import { storageQueue } from 'waybill/launchers/azure-storage-queue'
import { required, usable } from './settings.ts'

const url = required('WAYBILL_QUEUE')
const client = usable(
  `WAYBILL_QUEUE=${url}`,
  'Set it to https://<account>.queue.core.windows.net/<queue>',
  () => new QueueClient(url, new DefaultAzureCredential()),
)

/** Executions of `waybill work --until-idle`, which KEDA starts for the messages of a queue. */
export const autoscale = { trigger: storageQueue(client) }
