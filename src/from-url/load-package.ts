/** Loads the packages of vendors, which the user installs. */
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { SharedCredential } from './azure-credential.ts'

/** The credential: a managed identity in Azure, elsewhere the user who is logged in. */
export async function azureCredential(packages: string) {
  const { DefaultAzureCredential } = await load<typeof import('@azure/identity')>('@azure/identity', packages)
  return new SharedCredential(new DefaultAzureCredential())
}

/**
 * Loads a vendor's package: as this package finds it, or else as the project in the working directory does, since the
 * package is a dependency of the project.
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

/** Whether that package is missing, and not one of its own dependencies. */
function isMissing(name: string, error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${name}'`)
}
