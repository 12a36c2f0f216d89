import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Under this condition package.json's exports name src instead of dist, so that tests and examples
// that import `waybill` or `waybill/client` get the code as it is written, with no list kept here.
const SOURCE = 'waybill-source'

// Setting conditions replaces Vite's own, so they are said again; without 'module', which Node does not have either.
const CONDITIONS = [SOURCE, 'node', 'development|production']

export default defineConfig({
  resolve: { conditions: CONDITIONS },
  ssr: { resolve: { conditions: CONDITIONS } },
  test: {
    include: ['test/**/*.test.ts'],
    // Azurite is a package of its own: npm run test:azurite.
    exclude: ['**/node_modules/**', 'test/azurite/**'],
    setupFiles: ['./test/support/seed.ts'],
    pool: 'forks',
    // Twice the cores: many tests wait for processes, timers and sockets, and leave their core to others meanwhile.
    maxWorkers: 2 * availableParallelism(),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // For the processes that tests start: they resolve `waybill` to src as well, and compile each file of it once for all.
    env: {
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --conditions=${SOURCE}`.trim(),
      NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/waybill-tests', import.meta.url)),
    },
    reporters: ['default', './scripts/reporter.ts'],
  },
})
