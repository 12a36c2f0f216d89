/** Looks at a SQLite file: its disk, its journal, its free pages. It changes nothing. */
import { statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { migrationPlanFor } from '../../from-url/store-from-url.ts'
import { bytes, type Findings } from './finding.ts'

const GIB = 1024 ** 3

/** File systems by their number on Linux. Locks of SQLite do not work reliably on network shares. */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB 2'],
  [0x517b, 'SMB'],
  [0x5346414f, 'AFS'],
  [0x01021997, '9P'],
  [0x00c36400, 'Ceph'],
  [0x47504653, 'GPFS'],
  [0x0bd00bd0, 'Lustre'],
])
const FUSE = 0x65735546

export async function examineSqlite(path: string, findings: Findings): Promise<void> {
  await findings.look('disk', () => examineDisk(path, findings))
  await findings.look('schema', async () => {
    const plan = await migrationPlanFor(`sqlite:${path}`)
    findings.judge('schema', plan === '', 'of this version', 'of an older version; it is migrated at the next start')
  })
  await findings.look('file', () => examineFile(path, findings))
}

async function examineDisk(path: string, findings: Findings): Promise<void> {
  const { type, bavail, bsize, blocks } = await statfs(dirname(resolve(path)))
  const [free, share] = [bavail * bsize, bavail / blocks]
  const left = `${bytes(free)} free (${Math.round(share * 100)} %)`
  if (free < GIB / 10) findings.fail('disk', `${left}: when it is full, no operation is accepted`)
  else findings.judge('disk', free >= GIB && share >= 0.05, left, `${left}: make room before it is full`)
  examineFileSystem(type >>> 0, findings)
}

/** @param type the number of the file system, on Linux */
export function examineFileSystem(type: number, findings: Findings): void {
  const network = NETWORK.get(type)
  if (network !== undefined) {
    findings.fail(
      'file system',
      `${network}, a network share: locks and the shared memory of WAL do not work there. Use a local disk, or PostgreSQL`,
    )
  } else if (type === FUSE) {
    findings.warn('file system', 'FUSE: if it is a network share, use a local disk or PostgreSQL')
  } else findings.ok('file system', 'not a network share')
}

const BIG_WAL = 256 * 1024 ** 2

function examineFile(path: string, findings: Findings): void {
  const wal = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    const pragma = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]
    const mode = pragma('journal_mode')
    if (mode === 'wal') findings.ok('journal', `WAL, of ${bytes(wal)}`)
    else findings.fail('journal', `the mode is ${mode} instead of WAL; a start of Waybill sets it`)
    if (wal > BIG_WAL) {
      findings.warn(
        'journal',
        `the WAL has grown to ${bytes(wal)}: some program reads for long and keeps it from being reset`,
      )
    }
    const [free, pages, size] = [
      Number(pragma('freelist_count')),
      Number(pragma('page_count')),
      Number(pragma('page_size')),
    ]
    const says = `${bytes(pages * size)}, of which ${bytes(free * size)} are free pages`
    const isBloated = free * size > GIB && free > pages / 2
    findings.judge('size', !isBloated, says, `${says}: VACUUM gives them back, while nothing uses the file`)
  } finally {
    database.close()
  }
}
