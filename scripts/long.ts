/**
 * `npm run test:long`: the suites of which `npm test` runs a short form, whole: further variations of what it has
 * tested, and more of what is drawn at random. Further arguments go to Vitest.
 */
import { node } from './tools.ts'

const config = ['--config', 'vitest.long.config.ts']
process.exitCode = node('node_modules/vitest/vitest.mjs', 'run', ...config, ...process.argv.slice(2))
