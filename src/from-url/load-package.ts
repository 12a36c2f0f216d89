/** The packages of vendors, which are the user's to install. */
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { SharedCredential } from './azure-credential.ts'

/** A managed identity in Azure, the user who is logged in elsewhere. */
export async function azureCredential(packages: string) {
  const { DefaultAzureCredential } = await load<typeof import('@azure/identity')>('@azure/identity', packages)
  return new SharedCredential(new DefaultAzureCredential())
}

/**
 * A vendor's package: as this package finds it, or as the project in the working directory does, which is
 * whose dependency it is.
 */
export async function load<Module>(name: string, install: string): Promise<Module> {
  try {
    return (await import(name)) as Module
  } catch (error) {
    if (!isMissing(name, error)) throw error
  }
  try {
    return createRequire(resolve('package.json'))(name) as Module
  } catch (error) {
    if (!isMissing(name, error)) throw error
    throw new Error(`The package ${name} is needed here, but is not installed: npm install ${install}`)
  }
}

/** Whether it is that package which is missing, and not one that it needs itself. */
function isMissing(name: string, error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${name}'`)
}
