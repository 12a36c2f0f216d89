import { globSync, readFileSync } from 'node:fs'
import base from './vitest.config.ts'

// Before any file is read: the tests look at it.
process.env.WAYBILL_LONG = '1'

/** The files that are longer here than in `npm test`: they ask how long they are, or which stores they take. */
const include = globSync('test/**/*.test.ts', { cwd: import.meta.dirname }).filter(file =>
  /\/support\/(length|store-places)\.ts/.test(readFileSync(`${import.meta.dirname}/${file}`, 'utf8')),
)

export default { ...base, test: { ...base.test, include } }
