/** Installs the peers, which are a package of their own: everyone who uses Waybill needs none of them. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { npm } from '../../scripts/tools.ts'

const FOLDER = new URL('../peers/', import.meta.url).pathname

/** Installs what the lockfile names, unless it is there. */
export function installPeers(): void {
  if (isInstalled()) return
  const [program, ...first] = npm()
  const { status } = spawnSync(program, [...first, 'ci', '--prefix', FOLDER, '--ignore-scripts'], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`The peers could not be installed in ${FOLDER}.`)
}

/** npm writes down what it has installed. */
function isInstalled(): boolean {
  const installed = `${FOLDER}node_modules/.package-lock.json`
  if (!existsSync(installed)) return false
  const { packages: wanted } = read(`${FOLDER}package-lock.json`)
  const { packages: found } = read(installed)
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    return path === '' || optional === true || found[path]?.version === version
  })
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly optional?: boolean }>>
}

function read(path: string): Lock {
  return JSON.parse(readFileSync(path, 'utf8')) as Lock
}
