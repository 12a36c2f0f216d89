/** What the doctor finds. */

/** `ok`; `warn`: it works, but will cause problems; `fail`: it does not work, or accepted operations can be lost. */
export type Grade = 'ok' | 'warn' | 'fail'

/** One finding. */
export interface Finding {
  readonly grade: Grade
  /** The subject, such as `disk`. */
  readonly name: string
  /** The observation, and for a problem also the cure. */
  readonly says: string
}

/** Collects findings. A check that fails is also a finding. */
export class Findings {
  readonly all: Finding[] = []

  ok(name: string, says: string): void {
    this.all.push({ grade: 'ok', name, says })
  }

  warn(name: string, says: string): void {
    this.all.push({ grade: 'warn', name, says })
  }

  fail(name: string, says: string): void {
    this.all.push({ grade: 'fail', name, says })
  }

  /** Adds an observation, or the problem. */
  judge(name: string, isWell: boolean, well: string, wrong: string): void {
    if (isWell) this.ok(name, well)
    else this.warn(name, wrong)
  }

  /** Runs a check, and adds a finding if the check fails. */
  async look(name: string, look: () => Promise<void> | void): Promise<void> {
    try {
      await look()
    } catch (error) {
      this.warn(name, `could not be looked at: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

const MIB = 1024 ** 2

/** Bytes for people, such as `1.5 GiB`. */
export function bytes(count: number): string {
  return count < 1024 * MIB ? `${Math.round(count / MIB)} MiB` : `${Math.round(count / MIB / 102.4) / 10} GiB`
}
