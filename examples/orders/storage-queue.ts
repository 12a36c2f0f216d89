import { DefaultAzureCredential } from '@azure/identity'
import { QueueClient } from '@azure/storage-queue'
import { storageQueue } from 'waybill/storage-queue'
import { required } from './settings.ts'

/** Executions of `waybill work --until-idle`, which KEDA starts for the messages of a queue. */
export const wakeup = {
  by: storageQueue({ client: new QueueClient(required('WAYBILL_QUEUE'), new DefaultAzureCredential()) }),
}
