import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { expect, test } from 'vitest'

/** Packs a program together with Waybill, as a bundler does, into a folder. */
async function bundle(path: string, folder: string): Promise<void> {
  const source = (name: string) => JSON.stringify(new URL(`../../src/${name}.ts`, import.meta.url).pathname)
  const code = `
    import { defineOperation } from ${source('index')}
    import { sqliteStore } from ${source('stores/sqlite/sqlite')}
    import { createWaybill } from ${source('waybill')}
    const waybill = createWaybill({
      operations: [defineOperation({ name: 'greet' })],
      store: sqliteStore({ path: ${JSON.stringify(path)} }),
      worker: { handlers: './handler.js' },
    })
    await waybill.start()
  `
  const entry = {
    name: 'entry',
    resolveId: (id: string) => (id === 'entry' ? id : null),
    load: (id: string) => (id === 'entry' ? code : null),
  }
  const bundle = await rolldown({ input: 'entry', platform: 'node', plugins: [entry] })
  await bundle.write({ dir: folder, format: 'esm', entryFileNames: 'server.mjs', chunkFileNames: '[name].mjs' })
  await bundle.close()
}

test.each([
  ['a child process', ':memory:', /\/child-main\.js/],
  ['the writer thread of SQLite', 'operations.db', /writer-thread\.js/],
])('a bundle without the file of %s is reported with the cure', async (_, path, file) => {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-test-'))
  try {
    await bundle(path, folder)
    const { status, stderr } = spawnSync(process.execPath, ['server.mjs'], { cwd: folder, encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toMatch(file)
    expect(stderr).toContain('leave it out of the bundle')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
