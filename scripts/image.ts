/**
 * `npm run test:image`: builds the Dockerfile as it is, and that of a project of `waybill init`, and tests the images in
 * containers, without a daemon. It needs Linux, root and three Debian packages. Further arguments go to Vitest.
 *
 * The base image is Debian with the Node and the npm of this repository, and stands for `node:24-slim`. Everything is
 * kept in a folder of its own, so that no image of the machine is replaced.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { node, npm, pack, root, run } from './tools.ts'

const TOOLS = ['buildah', 'crun', 'debootstrap']
const BASE = 'localhost/node:24-slim'
const DEBIAN = 'bookworm'
const FOLDER = join(root, '.toolchain/image')
const BUILDAH = ['--root', join(FOLDER, 'storage'), '--runroot', join(FOLDER, 'run')]

interface Image {
  readonly name: string
  /** The folder that it is built from. */
  readonly folder: string
}
const ORDERS: Image = { name: 'localhost/waybill-orders', folder: root }
const PROJECT: Image = { name: 'localhost/my-api', folder: join(FOLDER, 'my-api') }

/** Authorities that this machine trusts, mounted for the time of the build alone. */
const AUTHORITIES = '/etc/waybill-authorities.pem'
const NPM = `#!/bin/sh
[ -f ${AUTHORITIES} ] && export NODE_EXTRA_CA_CERTS=${AUTHORITIES}
exec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"
`

process.exitCode = main()

function main(): number {
  // Debian installs some of them where only root looks.
  process.env.PATH = `${process.env.PATH}:/usr/sbin`
  const missing = TOOLS.filter(tool => spawnSync(tool, ['--version']).error !== undefined)
  if (missing.length > 0) return fail(`${missing.join(', ')}: not found. On Debian: apt-get install ${TOOLS.join(' ')}`)
  if (process.getuid?.() !== 0) return fail('Run it as root: debootstrap, and mounts of images, need it.')
  mkdirSync(FOLDER, { recursive: true })
  makeBase()
  makeProject()
  const containers = [ORDERS, PROJECT].map(image => {
    build(image)
    return read('from', '--pull-never', image.name)
  })
  try {
    return test(containers)
  } finally {
    for (const container of containers) buildah('rm', container)
  }
}

function test([orders = '', project = '']: readonly string[]): number {
  process.env.WAYBILL_IMAGE = JSON.stringify(describe(orders, ORDERS))
  process.env.WAYBILL_PROJECT_IMAGE = JSON.stringify(describe(project, PROJECT))
  const config = ['--config', 'test/deploy/image/vitest.config.ts']
  return node('node_modules/vitest/vitest.mjs', 'run', ...config, ...process.argv.slice(2))
}

/** The parts of an image that the tests need: its files, and its command. */
function describe(container: string, { name }: Image) {
  const { OCIv1 } = JSON.parse(read('inspect', '--type', 'image', name)) as { OCIv1: { config: object } }
  return { root: read('mount', container), config: OCIv1.config }
}

/** Debian with Node and npm, once. */
function makeBase(): void {
  if (spawnSync('buildah', [...BUILDAH, 'inspect', '--type', 'image', BASE]).status === 0) return
  const folder = join(FOLDER, 'base')
  rmSync(folder, { recursive: true, force: true })
  expect(run('debootstrap', ['--variant=minbase', DEBIAN, folder]), 'debootstrap')
  addNode(folder)
  const container = read('from', 'scratch')
  buildah('add', '--quiet', container, folder, '/')
  buildah('commit', '--quiet', '--rm', container, BASE)
  rmSync(folder, { recursive: true, force: true })
}

function addNode(folder: string): void {
  const local = join(folder, 'usr/local')
  cpSync(process.execPath, join(local, 'bin/node'), { dereference: true })
  const modules = join(local, 'lib/node_modules')
  mkdirSync(modules, { recursive: true })
  cpSync(npmFolder(), join(modules, 'npm'), { recursive: true, dereference: true })
  writeFileSync(join(local, 'bin/npm'), NPM, { mode: 0o755 })
}

function npmFolder(): string {
  const [, script = output('npm', ['root', '--global']).concat('/npm/bin/npm-cli.js')] = npm()
  return dirname(dirname(script))
}

/** The project of `waybill init`, with the package as `npm pack` makes it. */
function makeProject(): void {
  rmSync(PROJECT.folder, { recursive: true, force: true })
  const options = ['--yes', '--no-install', '--package', pack()]
  expect(node('dist/cli/main.js', 'init', PROJECT.folder, ...options), 'waybill init')
}

function build({ name, folder }: Image): void {
  const options = ['--isolation', 'chroot', '--network', 'host', '--pull-never', '--layers', '--tag', name]
  buildah('build', ...options, ...volumes(), folder)
}

/** The configuration of npm on this machine, for the time of the build: its registry, and the authorities it trusts. */
function volumes(): string[] {
  const [program, ...first] = npm()
  const configured = (key: string) => output(program, [...first, 'config', 'get', key])
  const authorities = process.env.NODE_EXTRA_CA_CERTS ?? configured('cafile')
  const mounts: [string, string][] = [
    [configured('userconfig'), '/root/.npmrc'],
    [configured('globalconfig'), '/usr/local/etc/npmrc'],
    [authorities, AUTHORITIES],
  ]
  return mounts.filter(([from]) => existsSync(from)).flatMap(([from, to]) => ['--volume', `${from}:${to}:ro`])
}

function buildah(...args: string[]): void {
  expect(run('buildah', [...BUILDAH, ...args]), `buildah ${args[0]}`)
}

function read(...args: string[]): string {
  return output('buildah', [...BUILDAH, ...args])
}

function output(program: string, args: readonly string[]): string {
  const { status, stdout } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  expect(status ?? 1, `${program} ${args.at(-1)}`)
  return stdout.trim()
}

function expect(code: number, what: string): void {
  if (code !== 0) throw new Error(`${what} failed with exit code ${code}`)
}

function fail(message: string): number {
  console.error(message)
  return 1
}
