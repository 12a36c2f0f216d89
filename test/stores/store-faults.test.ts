/** Each call that the life of a handler makes of its store, or of its blob store, fails once in each way. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { folderBlobs } from 'waybill/blobs/folder'
import { attemptKey, type BlobStore } from '../../src/blobs/blob-store.ts'
import type { Note, Store } from '../../src/stores/store.ts'
import { diligent, limited } from '../fixtures/handlers/diligent.ts'
import { changesOf, FAULT_LIMIT_MS, FAULTS, type Fault, Faults, type Given, timeoutFor } from '../support/faults.ts'
import { atLength } from '../support/length.ts'
import { collectUnhandled } from '../support/unhandled.ts'
import { hasFinished, submit, test, until } from '../support/waybill.ts'

const notes = (kind: Note['kind']) => (given: Given) => (given[1] as Note).kind === kind
/** Renewals and sweeps come at their own pace: the handler takes longer than that, in milliseconds. */
const [PAST_RENEWAL, PAST_SWEEP] = [1300, 250]

const CALLS: Record<string, { method: keyof Store | keyof BlobStore; ms?: number; fits?: (given: Given) => boolean }> =
  {
    'a claim': { method: 'claim' },
    'a renewal': { method: 'renew', ms: PAST_RENEWAL },
    'a sweep': { method: 'sweep', ms: PAST_SWEEP },
    'a look at what is held': { method: 'holders', ms: PAST_SWEEP },
    'a read of steps': { method: 'steps' },
    'the record of a step': { method: 'appendNote', fits: notes('step') },
    'a log line': { method: 'appendNote', fits: notes('log') },
    'a progress': { method: 'change', fits: changesOf('progress') },
    'an outcome': { method: 'change', fits: changesOf('finish') },
    'the put of a result': { method: 'put' },
  }

const unhandled = collectUnhandled()

/** Children send their calls to the worker, which makes them: one fault shows that. */
const BY_RUN = { inline: FAULTS, children: atLength<readonly Fault[]>(FAULTS.slice(0, 1), FAULTS) }

// Side by side: nearly all of the time is waiting for renewals, sweeps and time limits.
for (const run of ['inline', 'children'] as const) {
  for (const fault of BY_RUN[run]) {
    test.concurrent(`a call that ${fault} with handlers in ${run}, and every operation completes`, async ({ lab }) => {
      const faults = new Faults()
      const blobs = folderBlobs({ path: join(lab.file(), '..', 'results') })
      const handlers = new URL('../fixtures/handlers/diligent.ts', import.meta.url)
      const waybill = await lab.waybill([diligent, limited], {
        store: faults.of(await lab.store()),
        blobs: faults.of(blobs),
        storeTimeout: timeoutFor(fault),
        worker: { handlers, run, leaseDuration: '3s', concurrency: 2 },
      })
      for (const [name, { method, ms = 0, fits }] of Object.entries(CALLS)) {
        faults.arm(method, fault, fits)
        const id = await submit(waybill, method === 'put' ? limited : diligent, ms)
        await until(() => !faults.isArmed)
        const { status, attempt, history } = await hasFinished(waybill.store, id)
        expect(status, name).toBe('completed')
        // A result that was not kept has to be made once more, and so it is where a busy machine exceeds the limit itself.
        if (method !== 'put' && !(fault === 'never answers' && faults.slowestMs >= FAULT_LIMIT_MS))
          expect(
            history.map(({ outcome }) => outcome),
            name,
          ).not.toContain('failed')
        expect([...(await waybill.store.steps(id))], name).toEqual([['charge', JSON.stringify(id)]])
        expect(await contentOf(blobs, attemptKey(id, attempt)), name).toBe(`charged ${id}`)
        await until(() => waybill.running() === 0)
        expect(unhandled, name).toEqual([])
      }
    })
  }
}

async function contentOf(blobs: BlobStore, key: string): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of (await blobs.get(key)) ?? []) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}
