import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { memoryFolder } from './scripts/memory-folder.ts'
import { bundlePrograms } from './scripts/programs.ts'
import LongestFirst from './scripts/sequencer.ts'

// Under this condition package.json's exports name src instead of dist, so that tests and examples
// that import `waybill` or `waybill/client` get the code as it is written, with no list kept here.
const SOURCE = 'waybill-source'

// Setting conditions replaces Vite's own, so they are said again; without 'module', which Node does not have either.
const CONDITIONS = [SOURCE, 'node', 'development|production']

// Hundreds of processes and threads start in a run: what one of them has compiled, the others take from here.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.cache/waybill-tests', import.meta.url))

// A sync of a disk takes longer than all else of a store's test. A process that is killed loses nothing that is in memory.
process.env.TMPDIR ??= memoryFolder()

/**
 * Processes that tests start resolve `waybill` to src as well, and take it as a bundle, which loads in little more than half the time.
 * Where tests are run again on every change, they take the files as they are then.
 */
const nodeOptions = [process.env.NODE_OPTIONS ?? '', `--conditions=${SOURCE}`]
if (process.argv.includes('run')) {
  nodeOptions.push('--enable-source-maps', `--require ${JSON.stringify(await bundlePrograms())}`)
}

export default defineConfig({
  resolve: { conditions: CONDITIONS },
  ssr: { resolve: { conditions: CONDITIONS } },
  test: {
    include: ['test/**/*.test.ts'],
    // Azurite is a package of its own: npm run test:azurite.
    // PgBouncer does not come from npm: npm run test:pgbouncer.
    // The image needs Debian packages and root: npm run test:image.
    // What checks no promise of its own and takes long: npm run test:long.
    exclude: [
      '**/node_modules/**',
      'test/blobs/azurite/**',
      'test/stores/pgbouncer/**',
      'test/deploy/image/**',
      ...(process.env.WAYBILL_LONG === undefined ? ['test/**/*.long.test.ts'] : []),
    ],
    setupFiles: ['./test/support/seed.ts', './test/support/left-behind.ts'],
    // What a test has stubbed is whole again for the next one.
    restoreMocks: true,
    unstubEnvs: true,
    pool: 'forks',
    // A process runs many files: the start of one and its imports would take most of the time of a quick file.
    isolate: false,
    // Thrice the cores: many tests wait for processes, timers and sockets, and leave their core to others meanwhile.
    maxWorkers: 3 * availableParallelism(),
    // Only to end what hangs: no test may need a fast machine.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 240_000 } },
    env: { NODE_OPTIONS: nodeOptions.join(' ').trim() },
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './scripts/reporter.ts'],
  },
})
