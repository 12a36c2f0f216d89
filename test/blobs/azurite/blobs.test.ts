// By their files: this folder is a package of its own, in which "waybill" is not the package above.
import { BlobServiceClient, type ContainerClient, ContainerSASPermissions } from '@azure/storage-blob'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { azureBlobs, type BlobContainer } from '../../../src/blobs/azure/azure.ts'
import { blobStoreConformance } from '../../../src/testing/index.ts'
import files from '../../fixtures/handlers/files.ts'
import { waybill as command } from '../../support/cli.ts'
import { type FileAct, files as filesType } from '../../support/files.ts'
import { handlerFile } from '../../support/handlers.ts'
import { idOf, postJson, SERVERS } from '../../support/servers.ts'
import { hasFinished, KeptLog, logOf, submit, test, until, when } from '../../support/waybill.ts'
import { azurite } from './server.ts'

const azure = azurite()

blobStoreConformance(
  { name: 'blobs of Azure', make: async () => azureBlobs(await azure.nextContainer()) },
  { describe, it },
)

async function namesIn(container: ContainerClient, uncommitted = false): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of container.listBlobsFlat({ includeUncommitedBlobs: uncommitted })) names.push(name)
  return names
}

it('accepts the ContainerClient of the real SDK unchanged', () => {
  expectTypeOf<ContainerClient>().toExtend<BlobContainer>()
})

it('requires an existing container', async () => {
  await expect(azureBlobs(azure.missingContainer()).open?.()).rejects.toThrow('the container does not exist')
})

it('stores the media type with the blob', async () => {
  const container = await azure.nextContainer()
  async function* text() {
    yield Buffer.from('x')
  }
  await azureBlobs(container).put('a/1', text(), 'text/csv; charset=utf-8')
  expect((await container.getBlobClient('a/1').getProperties()).contentType).toBe('text/csv; charset=utf-8')
})

describe.each(['inline', 'children'] as const)('with handlers that run %s', run => {
  const worker = run === 'inline' ? { handlers: files } : { handlers: handlerFile('files'), concurrency: 1 }

  test('a client gets a result from the container, also in parts', async ({ lab }) => {
    const container = await azure.nextContainer()
    const waybill = await lab.waybill([filesType()], { worker, blobs: azureBlobs(container) })
    for (const door of Object.values(SERVERS)) {
      const api = await door(lab, waybill)
      const act: FileAct = { as: 'large', mib: 9 }
      const id = await idOf(api.ask('/files', postJson(act)))
      expect((await hasFinished(waybill.store, id)).error).toBeNull()
      const bytes = new Uint8Array(await (await api.ask(`/files/${id}`)).arrayBuffer())
      expect(bytes.byteLength).toBe(9 * 1024 * 1024)
      expect(bytes.every((byte, at) => byte === at >> 20)).toBe(true)
      const part = await api.ask(`/files/${id}`, { headers: { range: 'bytes=4194303-4194304' } })
      expect([part.status, [...new Uint8Array(await part.arrayBuffer())]]).toEqual([206, [3, 4]])
    }
  })

  test('failed and canceled operations leave no blob', async ({ lab }) => {
    const container = await azure.nextContainer()
    const waybill = await lab.waybill([filesType()], { worker, blobs: azureBlobs(container), logger: new KeptLog() })
    const failing = await submit(waybill, filesType(), { as: 'fail' })
    expect((await hasFinished(waybill.store, failing)).attempt).toBe(2)
    const stuck = await submit(waybill, filesType(), { as: 'stuck' })
    await until(async () => (await logOf(waybill.store, stuck)).includes('stuck'))
    await waybill.operations.cancel(stuck, '')
    expect((await hasFinished(waybill.store, stuck)).status).toBe('canceled')
    await until(async () => (await namesIn(container)).join() === `${failing}/2`)
  })
})

test('a result is deleted with its operation', async ({ lab }) => {
  const container = await azure.nextContainer()
  const brief = filesType({ retention: 0 })
  const waybill = await lab.waybill([brief], { worker: { handlers: files }, blobs: azureBlobs(container) })
  const id = await submit(waybill, brief, { as: 'text', text: 'x' })
  await when(waybill.store, id, ({ purged }) => purged)
  await until(async () => (await namesIn(container)).length === 0)
})

test('an unreachable container fails attempts, but no operation', async ({ lab }) => {
  const url = 'http://127.0.0.1:1/devstoreaccount1'
  const unreachable = new BlobServiceClient(url, undefined, { retryOptions: { maxTries: 1 } }).getContainerClient('x')
  const real = azureBlobs(await azure.nextContainer())
  const away = azureBlobs(unreachable)
  let tries = 0
  const waybill = await lab.waybill([filesType()], {
    worker: { handlers: files },
    logger: new KeptLog(),
    blobs: {
      put: (...given) => (tries++ === 0 ? away : real).put(...given),
      get: (...given) => real.get(...given),
      delete: key => real.delete(key),
      deleteAll: ids => real.deleteAll(ids),
    },
  })
  const id = await submit(waybill, filesType(), { as: 'text', text: 'x' })
  expect(await hasFinished(waybill.store, id)).toMatchObject({ status: 'completed', attempt: 2 })
})

test('waybill copy moves results to a container and from one, by its URL', async ({ lab }) => {
  const [file, back] = [lab.file(), lab.file()]
  const [container, path] = [await azure.nextContainer(), `${back}-results`]
  const [store, blobs] = [await lab.store(file), azureBlobs(container)]
  const waybill = await lab.waybill([filesType()], { worker: { handlers: files }, store, blobs })
  const id = await submit(waybill, filesType(), { as: 'large', mib: 9 })
  await hasFinished(store, id)
  const kept = `azure:${container.url}`
  const copy = (...args: string[]) => command(['copy', ...args], azure.env)
  const out = await copy(
    '--from',
    `sqlite:${file}`,
    '--to',
    `sqlite:${back}`,
    '--from-blobs',
    kept,
    '--to-blobs',
    `folder:${path}`,
  )
  expect(out).toMatchObject({ code: 0, err: '', out: expect.stringContaining('Copied 1 blobs; 0 were there already') })
  const other = await azure.nextContainer()
  const signed = await other.generateSasUrl({
    permissions: ContainerSASPermissions.parse('rwcld'),
    expiresOn: new Date(Date.now() + 600_000),
  })
  const target = ['--from', `sqlite:${back}`, '--to', `sqlite:${lab.file()}`, '--from-blobs', `folder:${path}`]
  // The signature in the URL will do.
  const again = await command(['copy', ...target, '--to-blobs', `azure:${signed}`])
  expect(again).toMatchObject({ code: 0, err: '' })
  expect(again.out).toContain(`target: 1 blobs, ${9 * 1024 * 1024} bytes`)
  expect(await namesIn(other)).toEqual([`${id}/1`])
  // By the key, and nothing is sent again.
  const third = await copy(...target, '--to-blobs', `azure:${other.url}`)
  expect(third).toMatchObject({ code: 0, out: expect.stringContaining('Copied 0 blobs; 1 were there already') })
})
