/** Registers the conformance suite of blob stores with a test runner. */
import assert from 'node:assert/strict'
import type { BlobStore } from '../blobs/blob-store.ts'
import { numberedId } from './store-conformance/context.ts'
import type { TestFunctions } from './store-conformance/store-conformance.ts'

/** What {@link blobStoreConformance} needs to know about a blob store. */
export interface BlobStoreConformanceOptions {
  /** What the suite is named after. */
  readonly name: string
  /** Makes an empty blob store, not opened yet. Called once for each test; the suite opens and closes it. */
  readonly make: () => Promise<BlobStore>
}

/** Larger than the chunks of any implementation, and not a multiple of their size. */
const LARGE_BYTES = 10 * 1024 * 1024 + 7
const ONE = numberedId(1)
const TWO = numberedId(2)

type Body = (blobs: BlobStore) => Promise<void>

const TESTS: Readonly<Record<string, Body>> = {
  'gives back what was put': async blobs => {
    const { length } = await blobs.put(`${ONE}/1`, pieces('one ', 'two'), 'text/plain')
    assert.equal(length, 7)
    assert.equal(await text(blobs, `${ONE}/1`), 'one two')
  },

  'keeps an empty blob': async blobs => {
    assert.deepEqual(await blobs.put(`${ONE}/1`, pieces(), 'text/plain'), { length: 0 })
    assert.equal(await text(blobs, `${ONE}/1`), '')
  },

  'knows nothing of what was never put': async blobs => {
    await blobs.put(`${ONE}/10`, pieces('ten'), 'text/plain')
    assert.equal(await blobs.get(`${ONE}/1`), undefined)
    assert.equal(await blobs.get(`${TWO}/10`), undefined)
  },

  'keeps a large blob byte by byte, whatever its pieces': async blobs => {
    assert.deepEqual(await blobs.put(`${ONE}/1`, large(), 'application/octet-stream'), { length: LARGE_BYTES })
    let at = 0
    for await (const piece of (await blobs.get(`${ONE}/1`)) ?? []) {
      const begin = at
      const wrong = piece.findIndex((byte, index) => byte !== byteAt(begin + index))
      if (wrong >= 0) assert.fail(`The byte at ${begin + wrong} is ${piece[wrong]}.`)
      at += piece.byteLength
    }
    assert.equal(at, LARGE_BYTES)
  },

  'gives the parts of a blob, both ends included': async blobs => {
    await blobs.put(`${ONE}/1`, large(), 'application/octet-stream')
    const last = LARGE_BYTES - 1
    const ranges = [
      [0, 0],
      [0, 99],
      [1023, 1024],
      [262_143, 262_144],
      [1_000_000, 5_000_000],
      [last - 9, last],
      [last, last],
    ] as const
    for (const [start, end] of ranges) {
      const part = await bytes(blobs, `${ONE}/1`, { start, end })
      assert.equal(part?.byteLength, end - start + 1, `the length of ${start} to ${end}`)
      assert.equal(part?.at(0), byteAt(start))
      assert.equal(part?.at(-1), byteAt(end))
    }
  },

  'shows nothing of a blob before it is whole': async blobs => {
    const half = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    async function* slow() {
      yield new Uint8Array(6 * 1024 * 1024)
      half.resolve()
      await goOn.promise
      yield new Uint8Array(1)
    }
    const put = blobs.put(`${ONE}/1`, slow(), 'text/plain')
    await half.promise
    assert.equal(await blobs.get(`${ONE}/1`), undefined)
    goOn.resolve()
    assert.deepEqual(await put, { length: 6 * 1024 * 1024 + 1 })
    assert.notEqual(await blobs.get(`${ONE}/1`), undefined)
  },

  'keeps nothing of a body that fails, and says how it failed': async blobs => {
    async function* failing() {
      yield new Uint8Array(6 * 1024 * 1024)
      throw new Error('The source is gone.')
    }
    await assert.rejects(blobs.put(`${ONE}/1`, failing(), 'text/plain'), /The source is gone/)
    assert.equal(await blobs.get(`${ONE}/1`), undefined)
    await blobs.put(`${ONE}/1`, pieces('again'), 'text/plain')
    assert.equal(await text(blobs, `${ONE}/1`), 'again')
  },

  'replaces what is under the key': async blobs => {
    await blobs.put(`${ONE}/1`, large(), 'text/plain')
    await blobs.put(`${ONE}/1`, pieces('new'), 'text/plain')
    assert.equal(await text(blobs, `${ONE}/1`), 'new')
  },

  'keeps apart what is put at the same time': async blobs => {
    const numbers = Array.from({ length: 10 }, (_, index) => index + 1)
    await Promise.all(numbers.map(it => blobs.put(`${ONE}/${it}`, pieces(`blob ${it}`), 'text/plain')))
    for (const it of numbers) assert.equal(await text(blobs, `${ONE}/${it}`), `blob ${it}`)
  },

  'deletes one blob and no other': async blobs => {
    for (const key of [`${ONE}/1`, `${ONE}/10`, `${TWO}/1`]) await blobs.put(key, pieces(key), 'text/plain')
    await blobs.delete(`${ONE}/1`)
    assert.equal(await blobs.get(`${ONE}/1`), undefined)
    assert.equal(await text(blobs, `${ONE}/10`), `${ONE}/10`)
    assert.equal(await text(blobs, `${TWO}/1`), `${TWO}/1`)
    await blobs.delete(`${ONE}/1`)
  },

  'deletes all blobs of operations, and can do so again': async blobs => {
    const three = numberedId(3)
    for (const key of [`${ONE}/1`, `${ONE}/2`, `${TWO}/1`, `${three}/1`])
      await blobs.put(key, pieces(key), 'text/plain')
    await blobs.deleteAll([ONE, TWO, numberedId(4)])
    for (const key of [`${ONE}/1`, `${ONE}/2`, `${TWO}/1`]) assert.equal(await blobs.get(key), undefined)
    assert.equal(await text(blobs, `${three}/1`), `${three}/1`)
    await blobs.deleteAll([ONE, TWO])
    await blobs.deleteAll([])
  },

  'frees a blob that is not read to its end': async blobs => {
    await blobs.put(`${ONE}/1`, large(), 'text/plain')
    for (let time = 0; time < 20; time++) {
      for await (const piece of (await blobs.get(`${ONE}/1`)) ?? []) {
        assert.ok(piece.byteLength > 0)
        break
      }
    }
    await blobs.delete(`${ONE}/1`)
  },

  'refuses keys that could name anything else': async blobs => {
    const hostile = [
      '',
      '/',
      'a',
      'a/',
      '/a',
      '../a',
      'a/..',
      './a',
      'a/b/c',
      'a\\b/c',
      'a/b\0',
      'a/b\n',
      'ä/b',
      '%2e/b',
    ]
    for (const key of [...hostile, `${'a'.repeat(101)}/b`]) {
      await assert.rejects(async () => await blobs.put(key, pieces('x'), 'text/plain'), TypeError, JSON.stringify(key))
      await assert.rejects(async () => await blobs.get(key), TypeError)
      await assert.rejects(async () => await blobs.delete(key), TypeError)
    }
    for (const id of ['', '.', '..', 'a/b', '*', 'a%', '\0']) {
      await assert.rejects(async () => await blobs.deleteAll([id]), TypeError, JSON.stringify(id))
    }
  },
}

/**
 * Registers the suite: every rule of the contract of blob stores. It fails through `node:assert`, and
 * waits for nothing but the blob store.
 *
 * @example
 * import { describe, it } from 'node:test'
 *
 * blobStoreConformance({ name: 'folders', make: async () => folderBlobs({ path: '/tmp/results' }) }, { describe, it })
 */
export function blobStoreConformance(options: BlobStoreConformanceOptions, { describe, it }: TestFunctions): void {
  describe(`${options.name} keep the contract of a blob store`, () => {
    for (const [name, body] of Object.entries(TESTS)) it(name, () => withBlobs(options, body))
  })
}

async function withBlobs({ make }: BlobStoreConformanceOptions, body: Body): Promise<void> {
  const blobs = await make()
  await blobs.open?.()
  try {
    await body(blobs)
  } finally {
    await blobs.close?.()
  }
}

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

/** Chunks of different sizes. */
async function* large(): AsyncGenerator<Uint8Array> {
  for (let at = 0, size = 1; at < LARGE_BYTES; at += size, size = (size * 7 + 11) % 300_000) {
    const chunk = new Uint8Array(Math.min(size, LARGE_BYTES - at))
    for (let index = 0; index < chunk.length; index++) chunk[index] = byteAt(at + index)
    yield chunk
  }
}

/** The bytes differ at any distance that a wrong offset could have. */
function byteAt(at: number): number {
  return (at ^ (at >> 8) ^ (at >> 16)) & 0xff
}

async function bytes(
  blobs: BlobStore,
  key: string,
  range?: { readonly start: number; readonly end: number },
): Promise<Buffer | undefined> {
  const found = await blobs.get(key, range)
  if (found === undefined) return undefined
  const pieces: Uint8Array[] = []
  for await (const piece of found) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function text(blobs: BlobStore, key: string): Promise<string | undefined> {
  return (await bytes(blobs, key))?.toString()
}
