/** Builds the console: `console/src` to `dist/console`, static files whose names hold a digest of their content. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { transform } from 'esbuild'
import { rolldown } from 'rolldown'
import { root } from './tools.ts'

const SOURCE = `${root}console/src`

/** A file of the console, by the path under which the page asks for it. */
type Files = Readonly<Record<string, string>>

/** Builds it into a folder. Builds at the same time do not disturb each other: they write the same. */
export async function buildConsole(folder: string = `${root}dist/console`): Promise<Files> {
  const [script, style] = await Promise.all([bundleScript(), minifyStyle()])
  const assets = { 'console.js': script, 'console.css': style, 'icon.svg': read('icon.svg') }
  const files: Record<string, string> = {}
  let page = read('index.html')
  for (const [name, text] of Object.entries(assets)) {
    const digested = name.replace('.', `-${createHash('sha256').update(text).digest('hex').slice(0, 12)}.`)
    page = page.replace(`assets/${name}`, `assets/${digested}`)
    files[`assets/${digested}`] = text
  }
  files['index.html'] = page
  mkdirSync(join(folder, 'assets'), { recursive: true })
  for (const [path, text] of Object.entries(files)) {
    const partial = join(folder, `${path}.${process.pid}`)
    writeFileSync(partial, text)
    renameSync(partial, join(folder, path))
  }
  return files
}

async function bundleScript(): Promise<string> {
  const bundle = await rolldown({
    input: `${SOURCE}/main.tsx`,
    platform: 'browser',
    transform: { target: 'es2022' },
    onLog: (_, { message }) => {
      throw new Error(message)
    },
  })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  await bundle.close()
  const [chunk, ...others] = output
  if (others.length > 0) throw new Error(`The console must be one file, and has ${others.length} more.`)
  return chunk.code
}

async function minifyStyle(): Promise<string> {
  const { code } = await transform(read('style.css'), {
    loader: 'css',
    minify: true,
    target: ['chrome123', 'firefox120', 'safari17.5'],
  })
  return code
}

function read(file: string): string {
  return readFileSync(`${SOURCE}/${file}`, 'utf8')
}
