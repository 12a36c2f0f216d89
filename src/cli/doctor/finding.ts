/** What the doctor finds. */

/** `ok`; `warn`: it works, and something will hurt; `fail`: it does not work, or accepted operations can be lost. */
export type Grade = 'ok' | 'warn' | 'fail'

/** One thing that was looked at. */
export interface Finding {
  readonly grade: Grade
  /** What it is about, such as `disk`. */
  readonly name: string
  /** What is the case; and, where it is not well, what to do. */
  readonly says: string
}

/** Collects findings. What cannot be looked at is a finding too. */
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

  /** Adds what is the case, or what is wrong with it. */
  judge(name: string, isWell: boolean, well: string, wrong: string): void {
    if (isWell) this.ok(name, well)
    else this.warn(name, wrong)
  }

  /** Looks, and notes what keeps it from looking. */
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
