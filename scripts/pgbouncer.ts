/**
 * `npm run test:pgbouncer`: the PostgreSQL store behind a real PgBouncer, which has to be installed since it does not
 * come from npm. Further arguments go to Vitest.
 */
import { spawnSync } from 'node:child_process'
import { node } from './tools.ts'

process.exitCode = main()

function main(): number {
  // Debian installs it where only root looks.
  process.env.PATH = `${process.env.PATH}:/usr/sbin`
  if (spawnSync('pgbouncer', ['--version']).error !== undefined) {
    console.error('pgbouncer was not found. Install it first (Debian: apt-get install pgbouncer).')
    return 1
  }
  const config = ['--config', 'test/stores/pgbouncer/vitest.config.ts']
  return node('node_modules/vitest/vitest.mjs', 'run', ...config, ...process.argv.slice(2))
}
