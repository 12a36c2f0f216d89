/** Shows how far an operation is: as one line that is redrawn on a terminal, else as a line for each change. */

import { clearLine, cursorTo } from 'node:readline'
import { plain } from '../util/plain-text.ts'
import { short } from './output.ts'

/** The parts of an operation that are shown. */
export interface Shown {
  readonly status: string
  /** From 0 to 1. */
  readonly fraction?: number | undefined
  readonly message?: string | undefined
}

const WIDTH = 24

/** Writes to standard error, so that standard output only holds the result. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream
  #last = ''

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream
  }

  update(shown: Shown): void {
    const line = describe(shown, this.#stream.isTTY === true)
    if (line === this.#last) return
    this.#last = line
    if (this.#stream.isTTY) this.#draw(line)
    else this.#stream.write(`${line}\n`)
  }

  /** Writes text above the line. */
  above(write: () => void): void {
    if (this.#stream.isTTY) this.#erase()
    write()
    if (this.#stream.isTTY) this.#draw(this.#last)
  }

  /** Removes the line of a terminal. */
  end(): void {
    if (this.#stream.isTTY) this.#erase()
  }

  #draw(line: string): void {
    this.#erase()
    this.#stream.write(short(line, Math.max(20, this.#stream.columns - 1)))
  }

  #erase(): void {
    cursorTo(this.#stream, 0)
    clearLine(this.#stream, 0)
  }
}

function describe({ status, fraction, message = '' }: Shown, hasBar: boolean): string {
  const parts = [status]
  if (fraction !== undefined) {
    const part = Math.min(1, Math.max(0, fraction))
    const full = Math.round(part * WIDTH)
    if (hasBar) parts.unshift(`${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}`)
    parts.push(`${Math.round(part * 100)} %`)
  }
  return [...parts, plain(message)].filter(Boolean).join('  ')
}
