import { globSync, readFileSync } from 'node:fs'
import base from './vitest.config.ts'

// Before any file is read: the tests look at it.
process.env.WAYBILL_LONG = '1'

/** The files that are longer here than in `npm test`. */
const include = globSync('test/**/*.test.ts', { cwd: import.meta.dirname }).filter(file =>
  readFileSync(`${import.meta.dirname}/${file}`, 'utf8').includes('/support/length.ts'),
)

export default { ...base, test: { ...base.test, include } }
