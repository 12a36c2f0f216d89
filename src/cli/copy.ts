/** `waybill copy`: moves everything from one store to another, and compares what has arrived. */
import { type Command, type Given, UsageError } from './command.ts'
import { type Comparison, compare, copyAll } from './copying.ts'
import { withStore } from './open.ts'
import { print } from './output.ts'
import { shownUrl } from './store.ts'

export const copy: Command = {
  name: 'copy',
  summary: 'copies every operation to another store, and compares the two',
  options: {
    from: { value: 'URL', help: 'the store to copy from; stop what uses it first' },
    to: { value: 'URL', help: 'the store to copy to' },
    force: { help: 'copies although operations run: these run again from the copy' },
  },
  run: runCopy,
}

async function runCopy(given: Given): Promise<number> {
  const [from, to] = [needed(given, 'from'), needed(given, 'to')]
  if (from === to) throw new UsageError(`--from and --to both name ${shownUrl(from)}: a copy needs two stores.`)
  return await withStore(from, async source => {
    const running = (await source.holdings()).length
    if (running > 0 && !given.has('force')) {
      throw new Error(
        `${running} operations run in ${shownUrl(from)}. Stop its APIs and workers, which hand back, or repeat with --force.`,
      )
    }
    return await withStore(
      to,
      async target => {
        const copied = await copyAll(source, target, progress)
        print(`Copied ${copied.written} operations; ${copied.same} were there already, and the same.`)
        if (copied.ahead > 0) print(`${copied.ahead} have gone on in the target, and were left as they are there.`)
        return report(await compare(source, target))
      },
      false,
    )
  })
}

function needed(given: Given, name: string): string {
  const url = given.text(name)
  if (url) return url
  throw new UsageError(`Say where to copy from and to: waybill copy --from sqlite:./orders.db --to postgres://….`)
}

const PROGRESS_EVERY = 10_000

function progress(count: number): void {
  if (count % PROGRESS_EVERY === 0) process.stderr.write(`${count} operations\n`)
}

/** Prints the comparison. Gives the exit code. */
function report({ source, target, others, different }: Comparison): number {
  print(`source: ${source.count} operations, sha256 ${source.digest}`)
  print(`target: ${target.count} operations, sha256 ${target.digest}`)
  if (others > 0) print(`The target has ${others} operations more, which the source does not have.`)
  if (different.length === 0) return print('They are the same.')
  print(`They differ. The first that do: ${different.join(', ')}.`)
  return 1
}
