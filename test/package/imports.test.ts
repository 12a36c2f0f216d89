import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { root } from '../../scripts/tools.ts'

/** Prints what a module of src and all that it imports load: the names of packages. */
function loadedBy(path: string): string[] {
  const program = `
    import { registerHooks } from 'node:module'
    const urls = new Set()
    registerHooks({
      resolve: (specifier, context, next) => {
        const resolved = next(specifier, context)
        urls.add(resolved.url)
        return resolved
      },
    })
    await import(${JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)})
    console.log(JSON.stringify([...urls]))
    process.exit()
  `
  const args = ['--conditions=waybill-source', '--input-type=module', '-e', program]
  // Not as the bundle, in which packages have no files of their own.
  const env = { ...process.env, NODE_OPTIONS: '' }
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env })
  expect(stdout, stderr).not.toBe('')
  const urls = JSON.parse(stdout) as string[]
  return [...new Set(urls.flatMap(nameOf))].sort()
}

/** `typebox` for a file of that package; nothing for files of src. */
function nameOf(url: string): string[] {
  const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]
  return name === undefined ? [] : [name]
}

test('a child process loads the packages that it needs to run a handler, and no others', () => {
  expect(loadedBy('worker/runners/child-process/child-main.ts')).toEqual(['secure-json-parse'])
})

test('the job of an execution loads the packages that it needs to run a handler, and no others', () => {
  expect(loadedBy('worker/run-operation.ts')).toEqual(['secure-json-parse'])
})

test('an application can share the packages that Waybill uses', () => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
    readFileSync(`${root}package.json`, 'utf8'),
  ) as Record<string, Record<string, unknown>>
  for (const [name, range] of Object.entries(dependencies ?? {})) expect(range, name).toMatch(/^\^\d/)
  // With a second copy the SDK is registered at the other one, and spans are lost without a word.
  expect(dependencies).not.toHaveProperty('@opentelemetry/api')
  expect(peerDependencies).toHaveProperty(['@opentelemetry/api'])
  expect(peerDependenciesMeta).not.toHaveProperty(['@opentelemetry/api'])
})
