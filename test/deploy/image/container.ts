/** Containers of the images, started by crun as strictly as the manifests of deploy/kubernetes ask for it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where Debian's package golang-github-containers-common has the filter that container engines use by default. */
const SECCOMP = '/usr/share/containers/seccomp.json'
/** As rules and libseccomp name this machine's. */
const ARCHITECTURE = { x64: ['amd64', 'SCMP_ARCH_X86_64'], arm64: ['arm64', 'SCMP_ARCH_AARCH64'] }[
  process.arch as 'x64'
]

interface ImageConfig {
  readonly User: string
  readonly Env: readonly string[]
  readonly Entrypoint?: readonly string[] | null
  readonly Cmd: readonly string[]
  readonly WorkingDir: string
}

/** What `npm run test:image` has built. */
export interface Image {
  /** Where its files are. */
  readonly root: string
  readonly config: ImageConfig
}

/** The image of this repository. */
export const ORDERS = imageOf('WAYBILL_IMAGE')

/** The image of a project that `waybill init` has written. */
export const PROJECT = imageOf('WAYBILL_PROJECT_IMAGE')

export interface ContainerOptions {
  readonly image?: Image
  /** Replaces CMD, as `args` in a manifest. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A folder of this machine that is mounted and can be written. */
  readonly data?: string
  /** Where it is mounted. Default `/data`. */
  readonly dataAt?: string
}

/** These containers use no cgroups, and crun refuses to start where those of the machine are of both versions. */
const WITHOUT_CGROUPS = 'mount -t tmpfs tmpfs /sys/fs/cgroup && exec "$0" "$@"'

let count = 0

/** A container that runs. */
export class Container {
  readonly #id = `waybill-image-test-${process.pid}-${++count}`
  readonly #pidFile: string
  readonly #process: ChildProcess
  readonly #exited: Promise<number>
  #output = ''

  constructor(options: ContainerOptions = {}) {
    const bundle = mkdtempSync(join(tmpdir(), 'bundle-'))
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(specOf(options)))
    this.#pidFile = join(bundle, 'pid')
    const crun = ['crun', '--cgroup-manager=disabled', 'run', '--bundle', bundle, '--pid-file', this.#pidFile, this.#id]
    this.#process = spawn('unshare', ['--mount', 'sh', '-c', WITHOUT_CGROUPS, ...crun], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk
      })
    }
    this.#exited = once(this.#process, 'close').then(([code]) => code as number)
  }

  get output(): string {
    return this.#output
  }

  /** Its exit code, once it has ended. */
  async ended(): Promise<number> {
    return await this.#exited
  }

  /** Waits until it has written what fits. */
  async written(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#output)
      if (found !== null) return found
      if (this.#process.stdout?.closed) throw new Error(`It has ended without ${pattern}: ${this.#output}`)
      await Promise.race([once(this.#process.stdout as NodeJS.ReadableStream, 'data'), this.#exited])
    }
  }

  /** Sends a signal to its first process. */
  signal(name: NodeJS.Signals): void {
    process.kill(Number(readFileSync(this.#pidFile, 'utf8')), name)
  }

  async remove(): Promise<void> {
    if (this.#process.exitCode === null && existsSync(this.#pidFile)) this.signal('SIGKILL')
    await this.#exited
  }
}

/** The OCI runtime specification of a container: no right, no file of its own, the filter of system calls. */
function specOf({ image = ORDERS, args = image.config.Cmd, env = {}, data, dataAt }: ContainerOptions): object {
  const { Entrypoint, Env, User, WorkingDir } = image.config
  const [uid, gid] = User.split(':').map(Number)
  const none: string[] = []
  return {
    ociVersion: '1.0.2',
    root: { path: image.root, readonly: true },
    process: {
      user: { uid, gid },
      args: [...(Entrypoint ?? []), ...args],
      env: [...Env, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)],
      cwd: WorkingDir,
      capabilities: { bounding: none, effective: none, inheritable: none, permitted: none, ambient: none },
      noNewPrivileges: true,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777'] },
      ...(data === undefined
        ? []
        : [{ destination: dataAt ?? '/data', type: 'bind', source: data, options: ['bind', 'rw'] }]),
    ],
    // The network is that of this machine, so that tests reach its ports.
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount'].map(type => ({ type })),
      seccomp: seccomp(),
    },
  }
}

interface Rule {
  readonly names: readonly string[]
  readonly action: string
  readonly args?: readonly object[]
  readonly includes?: { readonly caps?: readonly string[]; readonly arches?: readonly string[] }
}

/** The rules that hold for a process without any capability. */
function seccomp(): object {
  const profile = JSON.parse(readFileSync(SECCOMP, 'utf8')) as {
    defaultAction: string
    syscalls: readonly Rule[]
  }
  const [name = '', architecture] = ARCHITECTURE
  const holds = ({ includes = {} }: Rule) =>
    !includes.caps?.length && (!includes.arches?.length || includes.arches.includes(name))
  return {
    defaultAction: profile.defaultAction,
    architectures: [architecture],
    syscalls: profile.syscalls.filter(holds).map(({ names, action, args }) => ({ names, action, args: args ?? [] })),
  }
}

function imageOf(variable: string): Image {
  const value = process.env[variable]
  if (!value) throw new Error(`${variable} is not set. Start these tests by npm run test:image.`)
  return JSON.parse(value) as Image
}
