import { globSync, readFileSync } from 'node:fs'

// Before any file is read: the tests look at it, and so does the configuration.
process.env.WAYBILL_LONG = '1'
const { default: base } = await import('./vitest.config.ts')

/** The files that only run here, and those that are longer here: they ask how long they are, or which stores they take. */
const include = globSync('test/**/*.test.ts', { cwd: import.meta.dirname }).filter(
  file =>
    file.endsWith('.long.test.ts') ||
    /\/support\/(length|store-places)\.ts/.test(readFileSync(`${import.meta.dirname}/${file}`, 'utf8')),
)

export default { ...base, test: { ...base.test, include } }
