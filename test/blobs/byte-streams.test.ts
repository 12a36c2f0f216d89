/** Streams of bytes that can be stopped. */
import { expect, test } from 'vitest'
import { stopAtAbort } from '../../src/blobs/byte-streams.ts'
import { countKept } from '../support/garbage.ts'

test('a long stream keeps nothing of the pieces that were passed on', async () => {
  async function* pieces() {
    for (let at = 0; at < 1000; at++) yield new Uint8Array([at])
  }
  const passed: WeakRef<object>[] = []
  let kept = Number.POSITIVE_INFINITY
  for await (const piece of stopAtAbort(pieces(), new AbortController().signal)) {
    if (passed.push(new WeakRef(piece)) === 1000) kept = await countKept(passed)
  }
  expect(kept).toBeLessThan(10)
})

test('a stream ends at once when it is aborted, though its next piece never comes', async () => {
  const controller = new AbortController()
  async function* pieces() {
    yield new Uint8Array([1])
    controller.abort(new Error('It must stop.'))
    await new Promise(() => {})
  }
  const stream = stopAtAbort(pieces(), controller.signal)
  expect(await stream.next()).toEqual({ done: false, value: new Uint8Array([1]) })
  await expect(stream.next()).rejects.toThrow('It must stop.')
  await expect(stopAtAbort(pieces(), controller.signal).next()).rejects.toThrow('It must stop.')
})
