/**
 * `npm run create FOLDER`: packs this clone, and writes a project that uses it, as `npm create waybill FOLDER` does with
 * the published package. What follows `--` are options of `waybill init`.
 */
import { spawnSync } from 'node:child_process'
import { pack, root } from './tools.ts'

const packed = pack()
const args = [`${root}dist/cli/main.js`, 'init', ...process.argv.slice(2), '--package', packed]
// A folder is meant from where npm was started.
const options = { cwd: process.env.INIT_CWD ?? root, stdio: 'inherit' } as const
process.exitCode = spawnSync(process.execPath, args, options).status ?? 1
