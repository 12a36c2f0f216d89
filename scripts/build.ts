/**
 * `npm run build`: src to dist, one module and one declaration file for each source file, and the console.
 * Further arguments go to TypeScript.
 */
import { rmSync } from 'node:fs'
import { buildConsole } from './console.ts'
import { node, root } from './tools.ts'

// A file left from an older build would be published, and would hide a broken export.
rmSync(`${root}dist`, { recursive: true, force: true })
process.exitCode = node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', ...process.argv.slice(2))
if (process.exitCode === 0) await buildConsole()
