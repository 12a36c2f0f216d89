/** The launcher and the real SDK against recorded answers of Azure, each also with every property null, or absent, in turn. */
import { describe, expect } from 'vitest'
import { containerAppsJob } from 'waybill/launchers/container-apps'
import { type Launcher, LaunchRefused } from '../../../src/launchers/launcher.ts'
import { ENDED_EXECUTION, EXECUTION, GROUP, JOB } from '../../fixtures/azure/recorded.ts'
import { requestFor } from '../../support/azure.ts'
import { atLength } from '../../support/length.ts'
import {
  RECORDED,
  type RecordedAzure,
  type RecordedName,
  recordedAzure,
  variantsOf,
} from '../../support/recorded-azure.ts'
import { type TestContext, test } from '../../support/waybill.ts'

function launcherOf(lab: TestContext, { client }: RecordedAzure, warnings: string[]): Launcher {
  const warn = (message: string) => void warnings.push(message)
  const launcher = containerAppsJob(client, { resourceGroup: GROUP, job: JOB, settleTimeout: 0, warn })
  lab.onEnd(() => launcher.close?.())
  return launcher
}

/** What becomes of everything that is asked of a launcher. */
async function resultsOf(lab: TestContext, azure: RecordedAzure) {
  const warnings: string[] = []
  const launcher = launcherOf(lab, azure, warnings)
  await launcher.open?.()
  const start = await launcher.start(requestFor('an-order')).catch((error: unknown) => error)
  const states = await Promise.all([EXECUTION, ENDED_EXECUTION].map(name => launcher.inspect(name)))
  const unknown = await launcher.inspect('unknown')
  await launcher.stop(EXECUTION)
  await launcher.close?.()
  return { warnings, start, kinds: states.map(({ kind }) => kind), unknown: unknown.kind }
}

const RIGHT = { warnings: [], start: EXECUTION, kinds: ['alive', 'gone'], unknown: 'gone' }

describe('recorded answers', () => {
  test.for([200, 202] as const)('can start, watch and stop a job (%i)', async (status, { lab }) => {
    const azure = await recordedAzure(lab)
    azure.status = status
    expect(await resultsOf(lab, azure)).toEqual(RIGHT)
  })

  test('contain the job, which each start sends without its nulls', async ({ lab }) => {
    const azure = await recordedAzure(lab)
    await launcherOf(lab, azure, []).start(requestFor('an-order'))
    expect(JSON.stringify(azure.starts)).not.toContain('null')
    expect(azure.starts).toEqual([
      {
        containers: [
          {
            image: 'registry.example/orders:1',
            name: 'orders',
            command: ['node'],
            args: ['job.js'],
            env: expect.arrayContaining([
              { name: 'PLAIN', value: 'kept' },
              { name: 'EMPTY', value: '' },
              { name: 'KEY', secretRef: 'key' },
              { name: 'WAYBILL_OPERATION_ID', value: 'an-order' },
            ]),
            resources: { cpu: 0.5, memory: '1Gi' },
          },
        ],
      },
    ])
  })

  test('contain the end of an execution, with only the known details', async ({ lab }) => {
    const azure = await recordedAzure(lab)
    const state = await launcherOf(lab, azure, []).inspect(ENDED_EXECUTION)
    expect(state).toEqual({
      kind: 'gone',
      reason:
        `Its execution ${ENDED_EXECUTION} is Failed (BackoffLimitExceeded: Job has reached the specified backoff limit; ` +
        'exit code 137 of orders (OOMKilled)).',
    })
  })
})

/** Without these there is nothing to start: an operator has to see to the job. */
const NEEDED_TO_START = /^(properties|properties\.template|properties\.template\.containers)$/
/** Without these it cannot be known that the second execution has ended, and nothing is done. */
const NEEDED_TO_END = /^(value\.1\.properties|value\.1\.properties\.status)$/

/** The SDK cannot read a listing without its executions, and an operator is to know. */
const UNREADABLE = /^executions\.value$/

describe.for(atLength<readonly ('null' | 'absent')[]>(['null'], ['null', 'absent']))(
  'with one property %s',
  emptiness => {
    test.for(Object.keys(RECORDED) as RecordedName[])('"%s" can still be read', async (name, { lab }) => {
      const azure = await recordedAzure(lab)
      for (const { path, document } of variantsOf(RECORDED[name], emptiness)) {
        azure.documents = { ...RECORDED, [name]: document }
        const { start, warnings, ...states } = await resultsOf(lab, azure)
        const ended = name === 'executions' && NEEDED_TO_END.test(path) ? 'alive' : 'gone'
        expect([path, states]).toEqual([path, { kinds: ['alive', ended], unknown: 'gone' }])
        expect(`${path}: ${warnings} ${start}`).not.toContain('TypeError')
        if (name === 'job' && NEEDED_TO_START.test(path)) {
          expect([path, start]).toEqual([path, expect.any(LaunchRefused)])
          expect(warnings.join()).toContain('has no container')
        } else expect([path, start]).toEqual([path, EXECUTION])
        // A listing that cannot be read is read again by the next look, where that is late.
        expect([path, new Set(warnings).size]).toEqual([
          path,
          Number(start !== EXECUTION || UNREADABLE.test(`${name}.${path}`)),
        ])
      }
    })
  },
)
