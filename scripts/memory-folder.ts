import { readFileSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'

const MEMORY = '/dev/shm'

/** Room for what the tests keep at one time, several times over. */
const ROOM_BYTES = 4 * 2 ** 30

/**
 * Where tests make their files: in memory on Linux where there is room for them and programs may run from there (the
 * tests' browser is unpacked), else in the system's folder for temporary files.
 */
export function memoryFolder(): string {
  return hasRoom() && runsPrograms() ? MEMORY : tmpdir()
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    return process.platform === 'linux' && bavail * bsize >= ROOM_BYTES
  } catch {
    return false
  }
}

function runsPrograms(): boolean {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
  return mounts.some(line => line.includes(` ${MEMORY} `) && !/\bnoexec\b/.test(line))
}
