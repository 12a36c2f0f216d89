/** The conformance suite of launchers, on each of ours. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, it } from 'vitest'
import type { Launcher, LaunchRequest } from 'waybill/adapters'
import { emulateAzure } from 'waybill/emulators/azure'
import { emulateKubernetes } from 'waybill/emulators/kubernetes'
import { containerAppsJob } from 'waybill/launchers/container-apps'
import { processLauncher } from 'waybill/launchers/process'
import { type LauncherUnderTest, launcherConformance } from 'waybill/testing'
import { clientOf as azureClientOf, JOB } from '../support/azure.ts'
import { clientOf as clusterClientOf, IMAGE, launcherOn, programImage } from '../support/kubernetes.ts'
import { onlyLong } from '../support/length.ts'
import { until } from '../support/waybill.ts'

const FOR_EVER = 'setInterval(() => {}, 1000)'

const folder = mkdtempSync(join(tmpdir(), 'waybill-launchers-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const entry = join(folder, 'program.mjs')
writeFileSync(entry, FOR_EVER)

/** A launcher whose starts are counted by their operations. */
function counting(launcher: Launcher) {
  const started: string[] = []
  const start = async (request: LaunchRequest) => {
    const execution = await launcher.start(request)
    started.push(request.operationId)
    return execution
  }
  return { start, countStarted: (id: string) => started.filter(it => it === id).length }
}

function processes(): LauncherUnderTest {
  const options = { entry, niceness: 0, maxProcesses: 8 } as const
  const working = processLauncher(options)
  // A system refuses an environment as large as this.
  const refusing = processLauncher({ ...options, env: { HUGE: 'x'.repeat(8 * 1024 * 1024) } })
  const { start, countStarted } = counting(working)
  const started: string[] = []
  let isRefused = false
  const launcher: Launcher = {
    engine: working.engine,
    start: async request => {
      const execution = (await (isRefused ? refusing.start(request) : start(request))) ?? ''
      started.push(execution)
      return execution
    },
    stop: execution => working.stop(execution),
    inspect: execution => working.inspect(execution),
    watchEnds: listener => working.watchEnds?.(listener) ?? (() => {}),
  }
  return {
    launcher,
    another: () => processLauncher(options),
    kill: execution => void process.kill(Number(execution.split('-')[1]), 'SIGKILL'),
    refuse: () => {
      isRefused = true
    },
    accept: () => {
      isRefused = false
    },
    countStarted,
    close: async () => {
      await Promise.all(started.map(execution => working.stop(execution)))
    },
  }
}

async function containerApps(): Promise<LauncherUnderTest> {
  const jobs = [{ name: JOB, command: ['node', '-e', FOR_EVER] }]
  const azure = await emulateAzure({ jobs, gracePeriod: 0, output: 'ignore' })
  const options = { resourceGroup: azure.resourceGroup, job: JOB, settleTimeout: 300, warn: () => {} } as const
  const make = () => containerAppsJob(azureClientOf(azure), options)
  return {
    launcher: make(),
    another: make,
    kill: async name => {
      const execution = azure.executions.find(it => it.name === name)
      await until(() => execution?.pid !== undefined)
      execution?.kill()
    },
    refuse: () => azure.fail(({ kind }) => (kind === 'start' ? { answer: { status: 403 } } : undefined)),
    accept: () => azure.fail(undefined),
    loseAnswer: () => {
      let left = 1
      azure.fail(({ kind }) => (kind === 'start' && left-- > 0 ? { acts: 1, answer: 'cut' } : undefined))
    },
    countStarted: id => azure.executions.filter(it => it.variable('WAYBILL_OPERATION_ID') === id).length,
    close: () => azure.close(),
  }
}

async function kubernetes(): Promise<LauncherUnderTest> {
  const emulator = await emulateKubernetes({ secondDuration: 100, images: { [IMAGE]: programImage(FOR_EVER) } })
  return {
    launcher: launcherOn(emulator, { watch: clusterClientOf(emulator).watch }),
    another: () => launcherOn(emulator),
    kill: async name => {
      await until(() => emulator.pidOf(name) !== undefined)
      emulator.kill(name)
    },
    refuse: () => emulator.fail({ verb: 'create', times: 1000, answer: 403, reason: 'Forbidden' }),
    accept: () => emulator.heal(),
    loseAnswer: () => emulator.fail({ verb: 'create', when: 'after', answer: 'cut' }),
    countStarted: id => emulator.jobs().filter(({ metadata }) => metadata.name?.includes(id)).length,
    close: () => emulator.close(),
  }
}

launcherConformance({ name: 'the launcher of processes', make: async () => processes() }, { describe, it })
onlyLong(() => {
  launcherConformance({ name: 'the launcher of Container Apps Jobs', make: containerApps }, { describe, it })
  launcherConformance({ name: 'the launcher of Kubernetes Jobs', make: kubernetes }, { describe, it })
})()
